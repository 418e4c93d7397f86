"""Recover what a dead process left: seal its orphan journals, remove its half-written files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from harness.cassette.file_io import TEMPORARY
from harness.errors import CassetteError
from harness.record.sampling import Sampling
from harness.record.sealing import JOURNAL_SUFFIX, SEGMENT_SUFFIX, Sealed, seal_journal
from harness.sessions.once import held
from runtime.core.stop import StopKind
from runtime.errors import UsageError
from runtime.ports.control_values import RunKey
from runtime.state.control.blocking import BlockingControlStore


def orphan_journals(path: Path) -> list[Path]:
    """Return the journals at a path: the file itself, or those below a folder, sorted.

    Raises:
        CassetteError: If there is none.
    """
    if path.is_dir():
        found = sorted(p for p in path.rglob(f"*{JOURNAL_SUFFIX}") if p.is_file())
    else:
        found = [path] if path.is_file() else []
        if found and not path.name.endswith(JOURNAL_SUFFIX):
            raise UsageError(f"{path.name!r} is no journal (*{JOURNAL_SUFFIX})", where=str(path))
    if not found:
        raise CassetteError(
            "there is no journal to recover",
            where=str(path),
            next_step="name a *.jsonl file or a folder of them",
        )
    return found


def recover_journal(
    journal: Path,
    *,
    sampling: Sampling | None = None,
    tenant_blind: bool = False,
    now: datetime | None = None,
) -> Sealed:
    """Seal a journal that nobody writes any more; its cut-off runs end `crashed`.

    A torn last record is dropped and reported. The segment stands beside the journal, which is then removed.

    Raises:
        UsageError: If a process still writes to it.
        CassetteError: If it is damaged otherwise, or the segment cannot be written; the journal then stays.
    """
    with held(journal):
        sealed = seal_journal(journal, sampling=sampling, tenant_blind=tenant_blind, now=now)
    if sealed.path is None and sealed.torn_bytes:
        raise CassetteError("the journal holds no whole run", where=str(journal))
    _remove_leftovers(journal)
    return sealed


def tell_crashed(store: BlockingControlStore, runs: Iterable[RunKey], *, now: float) -> int:
    """Set `crashed` in the index for runs whose journal was recovered; return for how many.

    A run that was taken over is left alone: its new owner writes another journal, and is alive or will be swept.
    """
    changed = 0
    for key in runs:
        found = next((run for run in store.find_runs(key.request_id) if run.key == key), None)
        if found is not None and found.stop_reason is None and found.fencing == 1:
            stopped = store.stop_run(key, fencing=1, stop_reason=StopKind.CRASHED.value, now=now)
            changed += stopped.applied
    store.sweep_runs(now=now)
    return changed


def _remove_leftovers(journal: Path) -> None:
    """Remove what a seal left half-written when it was killed."""
    stem = journal.name.removesuffix(JOURNAL_SUFFIX)
    for path in journal.parent.glob(f".{stem}{SEGMENT_SUFFIX}.*{TEMPORARY}"):
        with suppress(OSError):
            path.unlink()
