"""Import foreign run logs by format: each file becomes a cassette or a segment, damage is reported at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from harness.cassette.file_io import settle_file, temporary_file
from harness.cassette.golden_cassette import write_cassette
from harness.cassette.segment import SegmentWriter
from harness.errors import ImportFailed
from harness.importers import openai_messages
from harness.importers.conversion import ImportedRun, convert
from harness.importers.formats import BUILT_IN, DocumentReader, reader_of
from harness.importers.runlog import ForeignRunLog
from harness.importers.sources import documents, is_many, plain_stem, source_files
from runtime.errors import ExitCode, GoldrunError
from runtime.journal.recording import recording_of

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

    A JSON file of one run becomes `<name>.cassette.json`, one of many and each JSONL file (plain or gzip) one
    segment, named after what its runs have in common.

    A file that is there already with the same content is left alone; one with other content
    is never replaced, the new one takes a longer name.

    Args:
        format: One of `formats.format_names()`.
        paths: Files and folders.
        out: Folder for the results; made if it is not there.
        deploy: Version label for reports.
        redact: Take secrets out; without it the header says `redaction: none`.
        progress: Called after each run.

    Raises:
        UsageError: If the format is unknown, or its plug-in is broken.
        ImportFailed: If a path is not there.
    """
    read = reader_of(format)
    work = _Import(format=format, read=read, out=Path(out), deploy=deploy, redact=redact, progress=progress)
    for path in list(source_files([Path(path) for path in paths])):
        try:
            work.take(path)
        except ImportFailed as error:
            work.summary.damaged.append(error)
    return work.summary


@dataclass(slots=True, kw_only=True)
class _Import:
    """One import under way."""

    format: str
    read: DocumentReader
    out: Path
    deploy: str | None
    redact: bool
    progress: Progress | None
    summary: ImportSummary = field(default_factory=ImportSummary)

    def take(self, path: Path) -> None:
        """Import one file; what it adds to the summary counts only if the file was whole."""
        part = ImportSummary()
        runs = self._runs(path, part)
        if is_many(path):
            self._take_many(path, runs, part)
        else:
            found = list(runs)
            if len(found) == 1:
                self._take_one(path, found[0], part)
            else:
                self._take_many(path, iter(found), part)
        self.summary.runs += part.runs
        self.summary.replayable += part.replayable
        self.summary.skipped += part.skipped
        self.summary.files += part.files

    def _take_one(self, path: Path, run: ForeignRunLog, part: ImportSummary) -> None:
        imported = self._converted(run, path)
        recording = recording_of(imported.records, source=str(path))
        origin = {"format": self.format, "source": run.source}
        with temporary_file(self.out, ".cassette.json") as temporary:
            write_cassette(temporary, recording, provenance=origin)
            part.files.append(
                settle_file(temporary, self.out, _names(f"{plain_stem(path)}.cassette.json", path))
            )
        self._count(path, part, imported)

    def _take_many(self, path: Path, runs: Iterator[ForeignRunLog], part: ImportSummary) -> None:
        stems: set[str] = set()
        with temporary_file(self.out, ".seg") as temporary:
            with SegmentWriter(temporary) as segment:
                for run in runs:
                    stems.add(run.group or plain_stem(path))
                    self._add(segment, run, path, part)
            if part.runs:
                stem = stems.pop() if len(stems) == 1 else plain_stem(path)
                part.files.append(settle_file(temporary, self.out, _names(f"{stem}.seg", path)))

    def _add(self, segment: SegmentWriter, run: ForeignRunLog, path: Path, part: ImportSummary) -> None:
        imported = self._converted(run, path)
        if imported.header.run_id in segment:
            part.skipped.append(f"{path}: run {run.source!r} stands in the file twice")
            return
        segment.add(imported.records)
        self._count(path, part, imported)

    def _runs(self, path: Path, part: ImportSummary) -> Iterator[ForeignRunLog]:
        found = documents(path)
        if self.format == openai_messages.FORMAT and is_many(path):
            found = openai_messages.joined(found)
        for document in found:
            runs = self.read(document, str(path))
            if runs is None:
                part.skipped.append(f"{document.where}: readable, but no run of the format {self.format}")
            for number, run in enumerate(runs or ()):
                if run is None:
                    part.skipped.append(
                        f"{document.where}: entry {number} is no run of the format {self.format}"
                    )
                else:
                    yield run

    def _converted(self, run: ForeignRunLog, path: Path) -> ImportedRun:
        try:
            return convert(run, deploy=self.deploy, redact=self.redact)
        except GoldrunError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            if self.format in BUILT_IN:
                raise
            raise ImportFailed(
                f"the importer of format {self.format!r} gave a run that cannot be converted: {error}",
                where=f"{path}, run {run.source!r}",
            ) from error

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
