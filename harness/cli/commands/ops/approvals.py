"""`goldrun ops approvals`, `approve`, `deny`: list and answer pending approvals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.control_store import note, now, open_store, operator, time_text
from harness.cli.options import DEFAULT_STORE, Json, Reason, Store
from harness.cli.output import print_rows, say
from runtime.errors import DataError, ExitCode

Approval = Annotated[str, typer.Argument(help="Id, as `goldrun ops approvals` lists it.")]


def approvals(store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List the calls that wait for approval, oldest first."""
    with open_store(store) as control:
        pending = control.list_approvals(now=now())
    rows = [
        {
            "id": a.id,
            "tenant": a.binding.tenant,
            "request_id": a.binding.request_id,
            "tool": a.binding.tool,
            "arguments": a.arguments,
            "expires_at": time_text(a.expires_at),
        }
        for a in pending
    ]
    return print_rows("goldrun.ops.approvals/1", "approvals", rows, as_json=json)


def approve(approval: Approval, reason: Reason = "", store: Store = DEFAULT_STORE) -> int:
    """Grant one exact call."""
    return _decide(approval, "granted", reason, store)


def deny(approval: Approval, reason: Reason = "", store: Store = DEFAULT_STORE) -> int:
    """Refuse one exact call."""
    return _decide(approval, "denied", reason, store)


def _decide(approval: str, decision: Literal["granted", "denied"], reason: str, store: Path) -> int:
    at = now()
    with open_store(store) as control:
        request = control.read_approval(approval, now=at)
        if request is None:
            raise DataError(
                f"no approval {approval!r}",
                where=str(store),
                next_step="list them with `goldrun ops approvals`",
            )
        change = control.decide_approval(
            approval,
            decision=decision,
            by=operator(),
            args_hash=request.binding.args_hash,
            now=at,
            reason=reason or None,
        )
        if change.applied:
            action = "approve" if decision == "granted" else "deny"
            note(control, action, f"{approval} {request.binding.tool}", reason)
    if change.applied:
        say(f"{decision}: the run goes on with this answer")
        return ExitCode.OK
    say(f"nothing changed: {(change.why or 'unknown').replace('_', ' ')}")
    return ExitCode.CHECK_FAILED
