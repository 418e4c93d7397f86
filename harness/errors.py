"""What the harness adds to the error tree of `runtime.errors`, which draws the whole of it."""

from __future__ import annotations

from runtime.errors import CheckFailed, DataError


class CassetteError(DataError):
    """A cassette or segment is missing, empty, damaged or foreign."""


class RecordingStopped(CheckFailed):
    """A recording asked for a write or an approval that nothing answers; nothing was written or replaced."""


class TaskError(DataError):
    """A golden task file is wrong."""


class ImportFailed(DataError):
    """A foreign recording cannot be read."""
