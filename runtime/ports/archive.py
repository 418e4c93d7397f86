"""The archive of recorded runs: what a service reads them through, wherever they are kept. Protocols only.

The journal stands above this room, so the port does not name its type: a service that resumes runs takes a
`RunArchive[runtime.journal.recording.Recording]`, one that only shows them any `RecordedRun`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from runtime.core.run import Header
from runtime.core.trace import Trace
from runtime.ports.control_values import RunKey


class RecordedRun(Protocol):
    """One run as it was recorded."""

    @property
    def header(self) -> Header:
        """What the run began with."""
        ...

    @property
    def stop_reason(self) -> str:
        """Why it ended; `crashed` if the recording was cut off."""
        ...

    def trace(self) -> Trace:
        """Return what happened in it."""
        ...


RecordedT = TypeVar("RecordedT", bound=RecordedRun, covariant=True)


class RunArchive(Protocol[RecordedT]):
    """Finds recorded runs; a caller sees those of one tenant and environment only."""

    def find(self, key: RunKey) -> RecordedT | None:
        """Return the latest recording of a run; `None` if there is none.

        Raises:
            DataError: If the recording is damaged.
        """
        ...

    def runs(self, *, tenant: str, environment: str) -> Iterator[RecordedT]:
        """Yield the recorded runs of a tenant and environment, child runs included.

        Raises:
            DataError: If a recording is damaged.
        """
        ...
