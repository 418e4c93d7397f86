"""`goldrun verify`: check that recordings are intact and complete."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cassette.verify import Verified, verify_path
from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.text import safe_text
from harness.wire.verify_http import verify_http
from runtime.errors import ExitCode

SHOWN_RUNS = 10


def verify(
    paths: Annotated[list[Path], typer.Argument(help="Cassettes, segments, journals, or folders of them.")],
    json: Json = False,
) -> int:
    """Check that recordings are intact and complete: exit 0 if both, 1 if incomplete, 3 if damaged."""
    files: list[Verified] = []
    for path in paths:
        files += verify_path(path, other=verify_http)
    intact = sum(v.intact for v in files)
    complete = sum(v.complete for v in files)
    if json:
        totals = {
            "files": len(files),
            "intact": intact,
            "complete": complete,
            "runs": sum(v.runs for v in files),
        }
        emit_json({"schema": "goldrun.verify/1", "files": [asdict(v) for v in files], "totals": totals})
    else:
        for one in files:
            say(_verified(one))
    if intact < len(files):
        return ExitCode.DATA
    return ExitCode.OK if complete == len(files) else ExitCode.CHECK_FAILED


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
    if one.gaps:
        facts.append(f"INCOMPLETE: {'; '.join(safe_text(gap, 160) for gap in one.gaps)}")
    if one.torn_bytes:
        facts.append(f"INCOMPLETE: a torn record of {one.torn_bytes} bytes")
    if one.deleted:
        facts.append(f"{one.deleted} deleted")
    if one.root:
        facts.append(f"root {one.root.removeprefix('sha256:')[:16]}")
    return f"{head}, {', '.join(facts)}"
