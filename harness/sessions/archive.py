"""The archive of recorded runs in a folder: journals, segments and cassettes; `runtime.ports.archive.RunArchive`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.sessions.recordings import iter_recordings
from runtime.core.signatures import checks_arguments
from runtime.journal.recording import Recording
from runtime.ports.control_values import RunKey


class FolderArchive:
    """Reads the recordings below a folder, or of one file.

    Attributes:
        path: The folder or file.
    """

    @checks_arguments
    def __init__(self, path: Path | str) -> None:
        self.path: Path = Path(path)

    def find(self, key: RunKey) -> Recording | None:
        """Return the latest recording of a run: of those that were resumed, the one with the most outcomes.

        Raises:
            CassetteError: If a recording is damaged, or the path does not exist.
        """
        same = (r for r in self._recordings() if r.header.request_id == key.request_id)
        mine = [r for r in same if (r.header.tenant, r.header.environment) == (key.tenant, key.environment)]
        return max(mine, key=_reached, default=None)

    def runs(self, *, tenant: str, environment: str) -> Iterator[Recording]:
        """Yield the recorded runs of a tenant and environment.

        Raises:
            CassetteError: If a recording is damaged, or the path does not exist.
        """
        for recording in self._recordings():
            if (recording.header.tenant, recording.header.environment) == (tenant, environment):
                yield recording

    def _recordings(self) -> Iterator[Recording]:
        return iter_recordings(self.path)


def _reached(run: Recording) -> tuple[bool, int, int]:
    """Return how far a recording got; a resumed run that was cut off may know less than what it was made of."""
    return run.end is not None, sum(i.answered for i in run.interactions), len(run.interactions)
