"""Tools: typed functions with strict arguments, and their checks."""
