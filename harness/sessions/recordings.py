"""The one way to recorded runs for everything above: `harness.cassette.store`, with HTTP recordings as runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.cassette import store
from harness.lift.http_runs import http_runs
from runtime.core.signatures import checks_arguments
from runtime.journal.recording import Recording


@checks_arguments
def iter_recordings(target: str | Path, *, allow_edited: bool = False) -> Iterator[Recording]:
    """Yield the recorded runs of a target one after the other; memory does not grow with their number.

    Args:
        target: A `*.cassette.json`, a journal or HTTP recording `*.jsonl`, a segment `*.seg`, a folder (recursive,
            sorted by path), `FILE#REQUEST_ID` for one run of a file, or either for a segment in an object store.
        allow_edited: Read golden documents that were edited by hand, marked as such.

    Raises:
        CassetteError: If the target is missing, empty, damaged or foreign, or a folder holds no recording.
        UsageError: If a request id names several runs.
    """
    return store.iter_recordings(target, allow_edited=allow_edited, view=http_runs)


def read_recording(target: str | Path) -> Recording:
    """Return the one recorded run of a target.

    Raises:
        CassetteError: If it cannot be read.
        UsageError: If the target holds several.
    """
    return store.read_recording(target, view=http_runs)


def count_recordings(target: str | Path) -> int:
    """Return how many recorded runs a target holds, from the index where there is one.

    Raises:
        CassetteError: As `iter_recordings`, as far as counting sees it.
    """
    return store.count_recordings(target, view=http_runs)
