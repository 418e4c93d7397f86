"""What commands print: results on stdout, progress and warnings on stderr, JSON as exactly one document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.text import safe_text, table
from runtime.errors import ExitCode

Advance = Callable[[int, str], None]
"""Callback for progress: how many more items are done, and the name of the last one."""


def say(text: str = "") -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Print a warning to stderr."""
    sys.stderr.write(f"warning: {safe_text(text, None)}\n")


def emit_json(document: Any) -> None:
    """Print one JSON document."""
    json.dump(document, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def emit_json_list(head: dict[str, Any], name: str, values: Iterable[Any]) -> None:
    """Print one JSON document whose last field is a list, each value as soon as it is there."""
    sys.stdout.write(json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1])
    sys.stdout.write(f", {json.dumps(name)}: [")
    for number, value in enumerate(values):
        sys.stdout.write(", " if number else "")
        json.dump(value, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("]}\n")


def print_rows(schema: str, name: str, rows: list[dict[str, Any]], *, as_json: bool) -> int:
    """Print rows as a table or as one document."""
    if as_json:
        emit_json({"schema": schema, name: rows})
    elif not rows:
        say(f"no {name}")
    else:
        headers = list(rows[0])
        cells = [
            ["" if r[h] is None else safe_text(str(r[h]), _cell_width(h)) for h in headers] for r in rows
        ]
        say(table(cells, [h.replace("_", " ") for h in headers]))
    return ExitCode.OK


def _cell_width(header: str) -> int:
    """Return how much of a cell is shown; what names a row is not cut, so that it can be copied."""
    return 400 if header in {"key", "id", "scope", "request_id", "subject"} else 60


def wants_colour() -> bool:
    """Return whether stdout is a terminal that takes colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show progress with its end in sight on stderr, where that is a terminal; else stay silent."""
    if not sys.stderr.isatty():
        yield lambda _count, _what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, what="")
        yield lambda count, what: bar.update(task, advance=count, what=safe_text(what, 40))


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
