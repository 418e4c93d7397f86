"""`goldrun recover`, `verify` and `find`: what recorded files hold, printed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cassette.index import Found, find_run, write_index
from harness.cassette.verify import Verified, verify_path
from harness.cli.control_store import now, open_store
from harness.cli.output import emit_json, progress, say, warn
from harness.errors import CassetteError
from harness.sessions.recover import orphan_journals, recover_journal, tell_crashed
from harness.text import safe_text
from runtime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runtime.ports.control_store import ControlStore

SHOWN_RUNS = 10


def recover_path(path: Path, *, store: Path | None, as_json: bool) -> int:
    """Recover the journals at a path, and tell a control store what crashed; return the exit code."""
    with nullcontext() if store is None else open_store(store) as control:
        return _recover_all(path, control, as_json=as_json)


def _recover_all(path: Path, control: ControlStore | None, *, as_json: bool) -> int:
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
            _say_recovered(row)
    for row in rows:
        if row["error"]:
            warn(f"{row['journal']}: {row['error']}")
    return ExitCode.DATA if any(row["error"] for row in rows) else ExitCode.OK


def _recover(journal: Path, control: ControlStore | None) -> dict[str, Any]:
    row: dict[str, Any] = {"journal": str(journal), "segment": None, "runs": 0, "cut_off": 0, "refused": 0}
    try:
        sealed = recover_journal(journal)
    except (CassetteError, UsageError) as error:
        return {**row, "torn_bytes": 0, "error": error.what, "set_crashed": None}
    told = None if control is None else tell_crashed(control, sealed.crashed, now=now())
    return {
        "journal": str(journal),
        "segment": None if sealed.path is None else str(sealed.path),
        "runs": sealed.runs,
        "cut_off": sealed.cut_off,
        "refused": sealed.refused,
        "torn_bytes": sealed.torn_bytes,
        "error": None,
        "set_crashed": told,
    }


def _say_recovered(row: dict[str, Any]) -> None:
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


def verify_paths(paths: list[Path], *, as_json: bool) -> int:
    """Verify files; return the exit code."""
    found: list[Verified] = []
    for path in paths:
        found += verify_path(path)
    intact = sum(v.intact for v in found)
    complete = sum(v.complete for v in found)
    if as_json:
        totals = {
            "files": len(found),
            "intact": intact,
            "complete": complete,
            "runs": sum(v.runs for v in found),
        }
        emit_json({"schema": "goldrun.verify/1", "files": [asdict(v) for v in found], "totals": totals})
    else:
        for one in found:
            say(_verified(one))
    if intact < len(found):
        return ExitCode.DATA
    return ExitCode.OK if complete == len(found) else ExitCode.CHECK_FAILED


def _verified(one: Verified) -> str:
    head = f"{safe_text(one.path, 120)}: {one.kind}"
    if not one.intact:
        return f"{head}, DAMAGED: {safe_text(one.error or '', 200)}"
    facts = [f"{one.runs} runs", "intact"]
    if one.complete:
        facts.append("complete")
    if one.cut_off:
        names = ", ".join(safe_text(name, 40) for name in one.cut_off[:SHOWN_RUNS])
        facts.append(f"INCOMPLETE: no end of {names}" + (" ..." if len(one.cut_off) > SHOWN_RUNS else ""))
    if one.torn_bytes:
        facts.append(f"INCOMPLETE: a torn record of {one.torn_bytes} bytes")
    if one.deleted:
        facts.append(f"{one.deleted} deleted")
    if one.root:
        facts.append(f"root {one.root.removeprefix('sha256:')[:16]}")
    return f"{head}, {', '.join(facts)}"


def find_runs(root: str, request_id: str, *, index: bool, as_json: bool) -> int:
    """Print where a run is; return the exit code."""
    if index:
        write_index(Path(root))
    found = find_run(root, request_id)
    if as_json:
        emit_json({"schema": "goldrun.find/1", "runs": [asdict(one) for one in found]})
    else:
        for one in found:
            gone = f"  deleted at {one.deleted_at}" if one.deleted_at else ""
            say(f"{safe_text(one.target, 200)}  {safe_text(one.stop_reason, 60)}{gone}")
    if not found:
        raise CassetteError(
            f"no run {request_id!r} is recorded there",
            where=root,
            next_step="check the request id, or name the folder or store with `--root`",
        )
    return ExitCode.OK


def locate(root: str, request_id: str) -> str:
    """Return the one target of a request id below a folder, for `goldrun show`.

    Raises:
        CassetteError: If there is none, or it was deleted.
        UsageError: If there are several.
    """
    found: list[Found] = [one for one in find_run(root, request_id) if one.deleted_at is None]
    targets = sorted({one.target for one in found})
    if not targets:
        raise CassetteError(
            f"no run {request_id!r} is recorded there",
            where=root,
            next_step="check the request id, or name the folder or store with `--root`",
        )
    if len(targets) > 1:
        raise UsageError(
            f"{request_id!r} names {len(targets)} runs", where=root, next_step=f"use {', '.join(targets[:5])}"
        )
    return targets[0]
