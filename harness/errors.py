"""What the harness adds to the error tree of `runtime.errors`, which draws the whole of it."""

from __future__ import annotations

from runtime.errors import DataError


class CassetteError(DataError):
    """A cassette or segment is missing, empty, damaged or foreign."""


class TaskError(DataError):
    """A golden task file is wrong."""


class ImportFailed(DataError):
    """A foreign recording cannot be read."""
