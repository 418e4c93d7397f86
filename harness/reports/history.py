"""The Parquet history: ingest runs.

Layout: `<history>/<table>/deploy=<label>/part-*.parquet` for each table of `schema`, zstd, the label
percent-encoded, never partitioned by tenant. An ingest writes its files under temporary names, syncs and renames
them, and then replaces the manifest: either all of its runs are in the history or none.

If a request is ingested again under the same label, equal content is a duplicate; other content is a new execution,
and the newest one counts. An ingest also merges small files of earlier ingests, so that many small ingests take linear
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.reports.manifest import Manifest, check_label, locked, read_manifest
from harness.reports.reading import read_table
from harness.reports.rows import (
    CONTENT,
    RunToIngest,
    call_rows,
    content_of,
    execution_id,
    later_execution,
    model_rows,
    run_row,
    segment_rows,
    tool_rows,
)
from harness.reports.strata import stratum_key, stratum_of
from harness.reports.upkeep import compact_small
from harness.reports.writing import Writer
from runtime.core.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """The result of an ingest.

    Attributes:
        added: Number of new runs.
        duplicates: Number of runs that were in the history already, or came twice.
        superseded: Request ids of added runs that replace an earlier execution with other content.
    """

    added: int
    duplicates: int
    superseded: tuple[str, ...] = ()


def ingest(
    runs: Iterable[Trace | RunToIngest],
    *,
    deploy: str,
    history: Path,
    cassette_hashes: Mapping[str, str] | None = None,
    git_sha: str | None = None,
) -> IngestResult:
    """Add runs to a history under a deploy label; a run that is already there changes nothing.

    Runs are taken one by one and written in batches, so memory stays constant except for the run ids of this deploy.
    If anything fails, the history is unchanged.

    Args:
        runs: Traces, or recorded runs that know their prompts, in any order.
        deploy: Label that reports compare.
        history: Folder of the history; created if missing.
        cassette_hashes: Hash of the recording by run id or request id.
        git_sha: Commit of the deployed code.

    Raises:
        UsageError: If the label cannot be part of a path.
        DataError: If the history is damaged or a trace cannot be stored.
    """
    check_label(deploy)
    hashes = cassette_hashes or {}
    with locked(history):
        manifest = read_manifest(history)
        writer = Writer(history, deploy, manifest)
        known = _Known(history, manifest, deploy)
        key = stratum_key(history)
        try:
            for run in runs:
                full = RunToIngest(trace=run) if isinstance(run, Trace) else run
                place = known.place(full.trace)
                if place is not None:
                    cassette_hash = hashes.get(full.trace.run_id) or hashes.get(full.trace.request_id)
                    full = full if cassette_hash is None else replace(full, cassette_hash=cassette_hash)
                    _add(writer, full, place, deploy=deploy, git_sha=git_sha, key=key)
            manifest = writer.commit()
        except BaseException:
            writer.discard()
            raise
        compact_small(history, manifest, deploy)
    return IngestResult(
        added=writer.added, duplicates=known.duplicates, superseded=tuple(sorted(known.superseded))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPlace:
    """A run's place in the history: its run id, and which execution of its request it is."""

    run_id: str
    execution: int


class _Known:
    """The runs of a deploy so far: their content by run id."""

    def __init__(self, history: Path, manifest: Manifest, deploy: str) -> None:
        self.duplicates = 0
        self.superseded: set[str] = set()
        self._deploy = deploy
        self._contents: dict[str, tuple[object, ...]] = {}
        if deploy in manifest.deploys:
            columns = ("run_id", *CONTENT)
            stored = read_table(history, manifest, "runs", deploy, columns)
            for run_id, *content in zip(*(stored.column(c).to_pylist() for c in columns), strict=True):
                self._contents[run_id] = tuple(content)

    def place(self, trace: Trace) -> HistoryPlace | None:
        """Return the place of a new run; `None` if the newest execution of its request is the same."""
        base, content = execution_id(trace, self._deploy), content_of(trace)
        execution, run_id, newest = 0, base, None
        while run_id in self._contents:
            newest = self._contents[run_id]
            execution += 1
            run_id = later_execution(base, execution)
        if newest == content:
            self.duplicates += 1
            return None
        if execution:
            self.superseded.add(trace.request_id)
        self._contents[run_id] = content
        return HistoryPlace(run_id=run_id, execution=execution)


def _add(
    writer: Writer, run: RunToIngest, place: HistoryPlace, *, deploy: str, git_sha: str | None, key: bytes
) -> None:
    trace, run_id = run.trace, place.run_id
    entry = trace.labels.get("entry")
    stratum = stratum_of(
        key, agent=trace.agent, entry=None if entry is None else str(entry), message=run.message
    )
    row = run_row(
        run, run_id=run_id, deploy=deploy, git_sha=git_sha, execution=place.execution, stratum=stratum
    )
    writer.add(
        {
            "runs": [row],
            "calls": call_rows(run, run_id=run_id),
            "tools": tool_rows(trace, run_id=run_id),
            "models": model_rows(trace, run_id=run_id),
            "segments": segment_rows(run, run_id=run_id),
        }
    )
