"""`goldrun recover`: seal the journals of dead processes into segments."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.control_store import now, open_store
from harness.cli.options import Json
from harness.cli.output import emit_json, progress, say, warn
from harness.errors import CassetteError
from harness.sessions.recover import orphan_journals, recover_journal, tell_crashed
from harness.text import safe_text
from runtime.errors import ExitCode, UsageError
from runtime.state.control.blocking import BlockingControlStore


def recover(
    path: Annotated[Path, typer.Argument(help="An orphan journal (*.jsonl), or a folder of them.")],
    store: Annotated[
        Path | None,
        typer.Option(
            envvar="GOLDRUN_CONTROL_STORE", help="Set `crashed` in this control store too, for those cut off."
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Seal the journals of dead processes; runs without an end become `crashed`."""
    with nullcontext() if store is None else open_store(store) as control:
        return _recover_all(path, control, as_json=json)


def _recover_all(path: Path, control: BlockingControlStore | None, *, as_json: bool) -> int:
    rows: list[dict[str, Any]] = []
    journals = orphan_journals(path)
    with progress("recovering", len(journals)) as advance:
        for journal in journals:
            rows.append(_recover(journal, control))
            advance(1, journal.name)
    if as_json:
        emit_json({"schema": "goldrun.recover/1", "journals": rows})
    else:
        for row in rows:
            _print_row(row)
    for row in rows:
        if row["error"]:
            warn(f"{row['journal']}: {row['error']}")
    return ExitCode.DATA if any(row["error"] for row in rows) else ExitCode.OK


def _recover(journal: Path, control: BlockingControlStore | None) -> dict[str, Any]:
    row: dict[str, Any] = {"journal": str(journal), "segment": None, "runs": 0, "cut_off": 0, "refused": 0}
    try:
        sealed = recover_journal(journal)
    except (CassetteError, UsageError) as error:
        return {**row, "torn_bytes": 0, "error": error.what, "set_crashed": None}
    set_crashed = None if control is None else tell_crashed(control, sealed.crashed, now=now())
    return {
        "journal": str(journal),
        "segment": None if sealed.path is None else str(sealed.path),
        "runs": sealed.runs,
        "cut_off": sealed.cut_off,
        "refused": sealed.refused,
        "torn_bytes": sealed.torn_bytes,
        "error": None,
        "set_crashed": set_crashed,
    }


def _print_row(row: dict[str, Any]) -> None:
    if row["error"]:
        return
    torn = f", a torn record of {row['torn_bytes']} bytes dropped" if row["torn_bytes"] else ""
    where = safe_text(row["segment"] or "nothing was kept", 120)
    say(
        f"recovered {safe_text(row['journal'], 120)}: {row['runs']} runs, {row['cut_off']} crashed{torn} -> {where}"
    )
    if row["set_crashed"] is not None:
        say(f"  set to crashed in the control store: {row['set_crashed']}")
    if row["refused"]:
        warn(f"{row['refused']} runs still looked secret and were left out")
