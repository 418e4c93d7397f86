"""Errors of the runtime: a caller's mistake, unusable data, or a broken invariant.

RuntimeFault
├── UsageFault          the caller asked for something that cannot be (exit code 2)
├── DataFault           an input is missing, damaged or of another format (exit code 3)
│   └── JournalFault    a journal record cannot be read or written
└── InvariantFault      our bug (exit code 4)
Signal                  no fault: ends foreign code from outside, and is no failure of what it passes through

The end of a run is never an exception; it is a stop reason.
"""

from __future__ import annotations


class RuntimeFault(Exception):
    """Root of the tree.

    Attributes:
        what: What is wrong, with the offending value.
        where: File, record or option concerned, if any.
        next_step: What to do about it, if known.
        exit_code: Exit code of the command line for this fault.
    """

    exit_code = 4

    def __init__(self, what: str, *, where: str | None = None, next_step: str | None = None) -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  next: {next_step}" if next_step else text)


class UsageFault(RuntimeFault):
    """The caller asked for something that cannot be."""

    exit_code = 2


class DataFault(RuntimeFault):
    """An input is missing, damaged or of another format."""

    exit_code = 3


class JournalFault(DataFault):
    """A journal record cannot be read or written."""


class InvariantFault(RuntimeFault):
    """A promise of this code base does not hold; a bug of ours."""


class Signal(BaseException):
    """Raised from below a tool to end a whole run: no guard holds it back, and no call fails of it."""
