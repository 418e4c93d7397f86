"""The rules of golden tasks: what may be expected, how it is judged, and what every run must keep."""
