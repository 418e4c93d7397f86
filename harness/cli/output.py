"""What commands print: results on stdout, progress and warnings on stderr, JSON as exactly one document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.text import safe_text

Advance = Callable[[int, str], None]
"""Told how many more are done, and of what."""


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
