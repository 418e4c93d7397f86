"""The verbs of `goldrun`, one file each: the arguments and the work of one command."""
