"""`goldrun ops`: what an operator does with a control store; here the index of runs, acts, and the audit log."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import ops_answers, ops_limits, ops_switches
from harness.cli.ops_store import DEFAULT_STORE, Json, Limit, Store, Tenant, now, open_store, show, time_text
from harness.cli.output import emit_json, say
from harness.text import safe_text
from runtime.errors import DataError, ExitCode, UsageError

app = typer.Typer(
    help="Act on a control store: switches, approvals, claims, caps, breakers, runs.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add the commands of this file and of those beside it."""
    parent.add_typer(app, name="ops")


ops_switches.register(app)
ops_answers.register(app)
ops_limits.register(app)


@app.command()
def runs(
    request_id: Annotated[str | None, typer.Argument(help="Find this run.")] = None,
    tenant: Tenant = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that have not ended.")] = False,
    limit: Limit = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """List runs, latest first, or find one by request id; those no longer heard of are set to `crashed`."""
    from runtime.ports.control_values import ControlUnavailable

    with open_store(store) as control:
        with suppress(ControlUnavailable):  # who only may read the store still sees it
            control.sweep_runs(now=now())
        found = (
            control.list_runs(tenant=tenant, open_only=open_only, limit=limit)
            if request_id is None
            else control.find_runs(request_id)
        )
    if request_id is not None and not found:
        raise DataError(
            f"no run has the request id {request_id!r}",
            where=str(store),
            next_step="check the id, or the store it ran under",
        )
    rows = [
        {
            "request_id": r.key.request_id,
            "tenant": r.key.tenant,
            "environment": r.key.environment,
            "agent": r.agent,
            "started_at": time_text(r.started_at),
            "stop_reason": r.stop_reason or "running",
        }
        for r in found
    ]
    return show("goldrun.ops.runs/1", "runs", rows, as_json=json)


@app.command()
def acts(limit: Limit = 50, store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List what operators did with this command: who, when, what and why; latest first."""
    with open_store(store) as control:
        found = control.list_acts(limit=limit)
    rows = [
        {"at": time_text(a.at), "by": a.by, "action": a.action, "subject": a.subject, "reason": a.reason}
        for a in found
    ]
    return show("goldrun.ops.acts/1", "acts", rows, as_json=json)


@app.command()
def audit(
    path: Annotated[Path, typer.Argument(help="The audit log.")],
    key_env: Annotated[str, typer.Option(help="Variable that holds the log's key.")] = "GOLDRUN_AUDIT_KEY",
    checkpoints: Annotated[
        Path | None, typer.Option(help="JSON lines of checkpoints that were anchored elsewhere.")
    ] = None,
    json: Json = False,
) -> int:
    """Say whether an audit log is intact, and whether it is complete as far as its checkpoints tell."""
    import msgspec

    from runtime.observability.audit import AuditCheckpoint, verify_audit

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
