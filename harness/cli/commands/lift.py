"""`goldrun lift`: turn recorded HTTP traffic into exchanges and traces, one file at a time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json
from harness.cli.output import emit_json_list, progress, say, warn
from harness.lift.files import expand
from harness.lift.lift import SCHEMA, LiftedFile, check_dialect, file_json, iter_lifted, unknown_endpoints
from harness.text import safe_text, table
from runtime.errors import DataError, ExitCode


def lift(
    paths: Annotated[list[Path], typer.Argument(help="Recordings of HTTP traffic: files, folders, globs.")],
    dialect: Annotated[
        str | None,
        typer.Option(help="Dialect of bodies whose URL does not reveal it, like openai-chat or gemini."),
    ] = None,
    json: Json = False,
) -> int:
    """Lift recorded HTTP traffic into exchanges and traces."""
    check_dialect(dialect)
    total = len(expand(paths))
    if total == 0:
        raise DataError(
            "there is no recording to lift",
            where=", ".join(map(str, paths)),
            next_step="name files, or folders with .yaml, .json, .jsonl or .har files",
        )
    summary = _Summary()
    with progress("lifting", total) as advance:
        lifted = summary.watch(
            iter_lifted(paths, dialect=dialect, progress=lambda _done, _total, path: advance(1, path))
        )
        if json:
            # Files are lifted one at a time, so that memory stays flat.
            emit_json_list({"schema": SCHEMA}, "files", map(file_json, lifted))
        else:
            rows = [_row(each) for each in lifted if each.skipped is None]
            say(table(rows, ["file", "exchanges", "tool calls", "traces", "note"]))
    summary.print_end(quiet=json)
    return ExitCode.DATA if summary.broken else ExitCode.OK


class _Summary:
    """Counts over the lifted files."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.broken: list[tuple[str, str]] = []
        self.skipped: list[str] = []

    def watch(self, files: Iterator[LiftedFile]) -> Iterator[LiftedFile]:
        """Count each file and pass it on."""
        for lifted in files:
            if lifted.error is not None:
                self.broken.append((lifted.path, lifted.error))
            elif lifted.skipped is not None:
                self.skipped.append(lifted.path)
            else:
                self.counts["files"] += 1
            self.counts["exchanges"] += len(lifted.exchanges)
            self.counts["traces"] += len(lifted.traces)
            self.counts["ignored"] += sum(exchange.is_ignored for exchange in lifted.exchanges)
            self.unknown.update(unknown_endpoints(lifted))
            yield lifted

    def print_end(self, *, quiet: bool) -> None:
        """Print the totals, and warn about files that were not read."""
        if not quiet:
            counts = self.counts
            say(
                f"{counts['exchanges']} exchanges in {counts['files']} files became {counts['traces']} traces; "
                f"{counts['ignored']} exchanges are not model calls and were ignored"
            )
        if self.skipped:
            shown = ", ".join(self.skipped[:3]) + (" ..." if len(self.skipped) > 3 else "")
            warn(f"{len(self.skipped)} files in the folders are not recordings and were skipped: {shown}")
        for endpoint, files in sorted(self.unknown.items()):
            warn(
                f"not decoded: {endpoint} in {files} files; if it is a model's, state its form with --dialect"
            )
        for path, error in self.broken:
            warn(f"{path}: {error}")
        sys.stdout.flush()


def _row(lifted: LiftedFile) -> list[str]:
    stops = [trace.stop_reason for trace in lifted.traces]
    unknown = unknown_endpoints(lifted)
    note = lifted.error or (f"not decoded: {', '.join(unknown)}" if unknown else "")
    calls = sum(len(e.reply.tool_calls) for e in lifted.exchanges if e.reply is not None)
    return [
        safe_text(lifted.path, 70),
        str(len(lifted.exchanges)),
        str(calls),
        ", ".join(stops[:3]) + (" …" if len(stops) > 3 else ""),
        safe_text(note, 60),
    ]
