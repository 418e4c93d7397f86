"""What the commands of `goldrun ops` share: options, an open control store, the note of an act, tables."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import emit_json, say
from harness.text import safe_text, table
from runtime.errors import DataError, ExitCode

if TYPE_CHECKING:
    from runtime.ports.control_store import ControlStore

Store = Annotated[Path, typer.Option(envvar="GOLDRUN_CONTROL_STORE", help="The control store's file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Reason = Annotated[str, typer.Option(help="Why; kept with who and when, see `goldrun ops acts`.")]
Tenant = Annotated[str | None, typer.Option(help="Only for this tenant.")]
Environment = Annotated[str | None, typer.Option(help="Only in this environment.")]
Limit = Annotated[int, typer.Option(min=1, help="Most rows.")]
DEFAULT_STORE = Path("goldrun-control.db")


class open_store:  # noqa: N801 - reads as a function where it is used
    """A control store for one command."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Look for the file.

        Raises:
            DataError: If it is not there, and must not be made.
        """
        if not create and not path.is_file():
            raise DataError(
                "there is no control store here, so nothing was done",
                where=str(path.absolute()),
                next_step="name the store of the service with --store or GOLDRUN_CONTROL_STORE",
            )
        self._path = path

    def __enter__(self) -> ControlStore:
        from runtime.state.control.sqlite_store import SqliteControlStore

        self._store = SqliteControlStore(self._path)
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.close()


def note(store: ControlStore, action: str, subject: str, reason: str) -> None:
    """Keep what the operator just did, with who, when and why."""
    from runtime.ports.control_values import Act

    store.note_act(Act(at=now(), by=operator(), action=action, subject=subject, reason=reason))


def operator() -> str:
    """Return who runs the command."""
    return getpass.getuser()


def show(schema: str, name: str, rows: list[dict[str, Any]], *, as_json: bool) -> int:
    """Print rows as a table or as one document."""
    if as_json:
        emit_json({"schema": schema, name: rows})
    elif not rows:
        say(f"no {name}")
    else:
        headers = list(rows[0])
        cells = [["" if r[h] is None else safe_text(str(r[h]), _width(h)) for h in headers] for r in rows]
        say(table(cells, [h.replace("_", " ") for h in headers]))
    return ExitCode.OK


def _width(header: str) -> int:
    """Return how much of a cell is shown; what names a row is not cut, so that it can be copied."""
    return 400 if header in {"key", "id", "scope", "request_id", "subject"} else 60


def now() -> float:
    """Return epoch seconds, from the one place that reads the wall clock."""
    from runtime.execution.clock import SystemClock

    return SystemClock().now().timestamp()


def time_text(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
