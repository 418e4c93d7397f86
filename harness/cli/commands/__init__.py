"""The verbs of `goldrun`, one file each: what its arguments are, and what it does."""
