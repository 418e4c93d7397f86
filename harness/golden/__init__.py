"""Golden tasks: an input with expectations, checked against the trace of a replayed run.

Modules are imported where they are used, so pydantic and the YAML reader load with the first task.
"""
