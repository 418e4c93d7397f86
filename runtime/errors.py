"""The one error tree of goldrun and the exit codes of the command line; each leaf is public.

GoldrunError
├── UsageError              the caller asked for something that cannot be (exit code 2)
│   ├── DuplicateRunError   the request id is running already
│   └── RefusedError        a service admits no such run: its key, tenant, environment or scope
├── CheckFailed             a check failed, a divergence or a regression (exit code 1)
│   ├── RecordingStopped    harness: a recording asks for a write or an approval that nothing answers
│   └── WireMiss            harness: a replayed agent sent a request that the recording does not hold
├── DataError               an input is missing, damaged or not comparable (exit code 3)
│   ├── JournalError        a journal record cannot be read or written
│   ├── DialectError        a body is not of the wire format that it claims
│   │   └── AnswerTooLarge  a provider's answer passes the limit of bytes
│   ├── ControlUnavailable  the control store cannot be read or written
│   │   ├── RunTakenOver     another process has the run
│   │   └── SwitchesChanged  the switches are not those that the caller read
│   ├── CassetteError       harness: a cassette or segment is missing, empty, damaged or foreign
│   ├── TaskError           harness: a golden task file is wrong
│   ├── ScanError           harness: a text cannot be searched for secrets
│   └── ImportFailed        harness: a foreign recording cannot be read
└── BugError                a promise of this code base does not hold (exit code 4)

Signal                      no error: ends foreign code from outside, and is no failure of what it passes through

A caller's mistake is never a `BugError`. The end of a run is never an exception; it is a stop reason.
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


class GoldrunError(Exception):
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


class UsageError(GoldrunError):
    """The caller asked for something that cannot be."""

    exit_code = ExitCode.USAGE


class CheckFailed(GoldrunError):
    """A check failed, a divergence or a regression."""

    exit_code = ExitCode.CHECK_FAILED


class DataError(GoldrunError):
    """An input is missing, damaged or not comparable."""

    exit_code = ExitCode.DATA


class JournalError(DataError):
    """A journal record cannot be read or written."""


class BugError(GoldrunError):
    """A promise of this code base does not hold."""


class Signal(BaseException):
    """Raised from below a tool to end a whole run: no guard holds it back, and no call fails of it."""
