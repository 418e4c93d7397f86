"""Errors of the harness and the exit codes of the command line.

HarnessError
├── UsageError          the caller asked for something that cannot be (exit code 2)
├── CheckFailed         a check failed, a divergence or a regression (exit code 1)
├── DataError           an input is missing, damaged or not comparable (exit code 3)
│   ├── CassetteError   a cassette or segment is missing, empty, damaged or foreign
│   ├── TaskError       a golden task file is wrong
│   └── ImportFailed    a foreign recording cannot be read
└── BugError            a promise of this code base does not hold (exit code 4)
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code says."""

    OK = 0
    """All good."""
    CHECK_FAILED = 1
    """A check failed, a divergence or a regression."""
    USAGE = 2
    """Wrong usage."""
    DATA = 3
    """An input is missing, damaged or not comparable."""
    BUG = 4
    """Our bug."""


class HarnessError(Exception):
    """Root of the tree.

    Attributes:
        what: What is wrong, with the offending value.
        where: File, record or option concerned, if any.
        next_step: What to do about it, if known.
        exit_code: Exit code of the command line for this error.
    """

    exit_code = ExitCode.BUG

    def __init__(self, what: str, *, where: str | None = None, next_step: str | None = None) -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  next: {next_step}" if next_step else text)


class UsageError(HarnessError):
    """The caller asked for something that cannot be."""

    exit_code = ExitCode.USAGE


class CheckFailed(HarnessError):
    """A check failed, a divergence or a regression."""

    exit_code = ExitCode.CHECK_FAILED


class DataError(HarnessError):
    """An input is missing, damaged or not comparable."""

    exit_code = ExitCode.DATA


class CassetteError(DataError):
    """A cassette or segment is missing, empty, damaged or foreign."""


class TaskError(DataError):
    """A golden task file is wrong."""


class ImportFailed(DataError):
    """A foreign recording cannot be read."""


class BugError(HarnessError):
    """A promise of this code base does not hold."""
