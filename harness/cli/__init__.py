"""The command line `goldrun <verb>`: only arguments, output and exit codes."""
