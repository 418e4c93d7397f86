"""The command line: `goldrun <verb>`; arguments, output and exit codes only."""
