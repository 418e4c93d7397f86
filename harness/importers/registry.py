"""Import foreign run logs by format: each file becomes a cassette or a segment, damage is reported at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from harness.cassette.files import settle_file, temporary_file
from harness.cassette.golden import write_cassette
from harness.cassette.segment import SegmentWriter
from harness.errors import ImportFailed
from harness.importers import agentdojo
from harness.importers.agentdojo import ImportedRun
from harness.importers.agentdojo_runs import ForeignRun, recognise
from harness.importers.sources import documents, is_many, plain_stem, source_files
from runtime.errors import ExitCode, UsageError
from runtime.journal.recording import recording_of

FORMATS = ("agentdojo",)

Progress = Callable[[Path, int], None]
"""Called after each run with its file and the number of runs imported so far."""


@dataclass(slots=True, kw_only=True)
class ImportSummary:
    """What an import did.

    Attributes:
        runs: Runs imported.
        replayable: Those the flow can rebuild; the others are assert-only and their header says why.
        skipped: Readable documents that are no run of the format, or a run imported before, each with its reason.
        damaged: Files that could not be read, each with its error; nothing of them was imported.
        files: Files written, or found there with the same content.
    """

    runs: int = 0
    replayable: int = 0
    skipped: list[str] = field(default_factory=list)
    damaged: list[ImportFailed] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """3 if a file was damaged; skipping is no failure."""
        return ExitCode.DATA if self.damaged else ExitCode.OK


def import_paths(
    format: str,  # noqa: A002  # the command line's own word
    paths: Iterable[str | Path],
    out: Path,
    *,
    deploy: str | None = None,
    redact: bool = True,
    progress: Progress | None = None,
) -> ImportSummary:
    """Import files and folders of foreign run logs.

    A single JSON run becomes `<name>.cassette.json`, a JSONL file (plain or gzip) one segment named after its
    pipeline and suite. A file that is there already with the same content is left alone; one with other content
    is never replaced, the new one takes a longer name.

    Args:
        format: One of `FORMATS`.
        paths: Files and folders.
        out: Folder for the results; made if it is not there.
        deploy: Version label for reports.
        redact: Take secrets out; without it the header says `redaction: none`.
        progress: Called after each run.

    Raises:
        UsageError: If the format is unknown.
        ImportFailed: If a path is not there.
    """
    if format not in FORMATS:
        raise UsageError(
            f"format {format!r} is not known", next_step=f"known formats are {', '.join(FORMATS)}"
        )
    work = _Import(out=Path(out), deploy=deploy, redact=redact, progress=progress)
    for path in list(source_files([Path(path) for path in paths])):
        try:
            work.take(path)
        except ImportFailed as error:
            work.summary.damaged.append(error)
    return work.summary


@dataclass(slots=True, kw_only=True)
class _Import:
    """One import under way."""

    out: Path
    deploy: str | None
    redact: bool
    progress: Progress | None
    summary: ImportSummary = field(default_factory=ImportSummary)

    def take(self, path: Path) -> None:
        """Import one file; what it adds to the summary counts only if the file was whole."""
        part = ImportSummary()
        if is_many(path):
            self._take_many(path, part)
        else:
            self._take_one(path, part)
        self.summary.runs += part.runs
        self.summary.replayable += part.replayable
        self.summary.skipped += part.skipped
        self.summary.files += part.files

    def _take_one(self, path: Path, part: ImportSummary) -> None:
        for run in self._runs(path, part):
            imported = agentdojo.convert(run, deploy=self.deploy, redact=self.redact)
            recording = recording_of(imported.records, source=str(path))
            origin = {"format": "agentdojo", "source": run.source}
            with temporary_file(self.out, ".cassette.json") as temporary:
                write_cassette(temporary, recording, provenance=origin)
                part.files.append(
                    settle_file(temporary, self.out, _names(f"{plain_stem(path)}.cassette.json", path))
                )
            self._count(path, part, imported)

    def _take_many(self, path: Path, part: ImportSummary) -> None:
        stems: set[str] = set()
        with temporary_file(self.out, ".seg") as temporary:
            with SegmentWriter(temporary) as segment:
                for run in self._runs(path, part):
                    stems.add(f"{run.place.pipeline}-{run.place.suite}")
                    self._add(segment, run, path, part)
            if part.runs:
                stem = stems.pop() if len(stems) == 1 else plain_stem(path)
                part.files.append(settle_file(temporary, self.out, _names(f"{stem}.seg", path)))

    def _add(self, segment: SegmentWriter, run: ForeignRun, path: Path, part: ImportSummary) -> None:
        imported = agentdojo.convert(run, deploy=self.deploy, redact=self.redact)
        if imported.header.run_id in segment:
            part.skipped.append(f"{path}: run {run.source!r} stands in the file twice")
            return
        segment.add(imported.records)
        self._count(path, part, imported)

    def _runs(self, path: Path, part: ImportSummary) -> Iterator[ForeignRun]:
        for document in documents(path):
            run = recognise(document.value, file=str(path))
            if run is None:
                part.skipped.append(f"{document.where}: readable, but no run of the format agentdojo")
            else:
                yield run

    def _count(self, path: Path, part: ImportSummary, imported: ImportedRun) -> None:
        part.runs += 1
        part.replayable += imported.header.assert_only is None
        if self.progress is not None:
            self.progress(path, self.summary.runs + part.runs)


def _names(name: str, path: Path) -> Iterator[str]:
    """Yield names for a result: its own, then with its source's folder, then numbered."""
    yield name
    yield f"{path.resolve().parent.parent.name}-{name}"
    for number in count(2):
        yield f"{number}-{name}"
