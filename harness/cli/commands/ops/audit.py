"""`goldrun ops audit`: verify that an audit log is intact and complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.text import safe_text
from runtime.errors import DataError, ExitCode, UsageError
from runtime.observability.audit import AuditCheckpoint, verify_audit


def audit(
    path: Annotated[Path, typer.Argument(help="The audit log.")],
    key_env: Annotated[str, typer.Option(help="Variable that holds the log's key.")] = "GOLDRUN_AUDIT_KEY",
    checkpoints: Annotated[
        Path | None, typer.Option(help="JSON lines of checkpoints that were anchored elsewhere.")
    ] = None,
    json: Json = False,
) -> int:
    """Check that an audit log is intact, and complete as far as its checkpoints show."""
    key = os.environ.get(key_env)
    if not key:
        raise UsageError(
            f"the variable {key_env} holds no key", next_step="set it to the key the log was written with"
        )
    anchored: tuple[AuditCheckpoint, ...] = ()
    if checkpoints is not None:
        try:
            lines = checkpoints.read_bytes().splitlines()
            anchored = tuple(
                msgspec.json.decode(line, type=AuditCheckpoint) for line in lines if line.strip()
            )
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"the checkpoints cannot be read: {error}", where=str(checkpoints)) from error
    verdict = verify_audit(path, key=key.encode(), checkpoints=anchored)
    if json:
        emit_json({"schema": "goldrun.ops.audit/1", **msgspec.to_builtins(verdict)})
    else:
        complete = {True: "yes", False: "no", None: "unknown (no checkpoint)"}[verdict.complete]
        after = f", {verdict.unanchored} of them after the last checkpoint" if verdict.unanchored else ""
        intact = "yes" if verdict.intact else "no"
        say(f"intact: {intact}; complete: {complete}; {verdict.lines} lines in order{after}")
        if verdict.problem:
            say(safe_text(verdict.problem, 200))
    return ExitCode.OK if verdict.intact and verdict.complete is not False else ExitCode.CHECK_FAILED
