"""The verbs of `goldrun ops`."""
