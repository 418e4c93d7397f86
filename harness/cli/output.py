"""Output of commands: results on stdout, progress and warnings on stderr, JSON as exactly one document."""

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
"""Progress callback: the number of items just finished, and the name of the last one."""


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
    """Print one JSON document whose last field is a list; each value is printed as it arrives."""
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
    """Return the maximum width of a cell. Names of rows are not cut, so that a user can copy them."""
    return 400 if header in {"key", "id", "scope", "request_id", "subject"} else 60


def wants_colour() -> bool:
    """Return whether stdout is a terminal that supports colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show a progress bar on stderr if it is a terminal; otherwise print nothing."""
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
    """Write a text file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
