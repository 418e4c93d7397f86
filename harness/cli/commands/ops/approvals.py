"""`goldrun ops approvals`, `approve`, `deny`: list and answer pending approvals."""

from __future__ import annotations

from json import dumps as dump
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.control_store import act_of, now, open_store, time_text
from harness.cli.operator import operator
from harness.cli.options import DEFAULT_STORE, Json, Reason, Store
from harness.cli.output import print_rows, say
from harness.text import safe_text
from runtime.control.approvals import Binding
from runtime.errors import DataError, ExitCode
from runtime.execution.run_guard import ALIVE_S
from runtime.state.control.blocking import BlockingControlStore

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


def _in_full(arguments: object) -> str:
    """Return arguments with nothing cut, one a line, and no character that a terminal would act on."""
    lines = dump(arguments, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(safe_text(line, None) for line in lines)


def _is_silent(control: BlockingControlStore, binding: Binding, at: float) -> bool:
    """Return whether the run that waits has ended, or missed its last heartbeats."""
    runs = [r for r in control.find_runs(binding.request_id) if r.key.tenant == binding.tenant]
    return not any(
        r.stop_reason is None and (r.alive_until is None or r.alive_until - at > ALIVE_S / 2) for r in runs
    )


def _decide(approval: str, decision: Literal["granted", "denied"], reason: str, store: Path) -> int:
    at, silent = now(), False
    with open_store(store) as control:
        request = control.read_approval(approval, now=at)
        if request is None:
            raise DataError(
                f"no approval {approval!r}",
                where=str(store),
                next_step="list them with `goldrun ops approvals`",
            )
        # In full and before it is decided: an approval of what nobody saw is none.
        binding = request.binding
        names = (binding.tool, binding.tenant, binding.request_id)
        say("{} for tenant {}, request {}, with the arguments".format(*(safe_text(n, None) for n in names)))
        say(_in_full(request.arguments))
        change = control.decide_approval(
            approval,
            decision=decision,
            by=operator().name,
            args_hash=request.binding.args_hash,
            now=at,
            reason=reason or None,
            act=act_of(
                "approve" if decision == "granted" else "deny", f"{approval} {request.binding.tool}", reason
            ),
        )
        if change.applied:
            silent = _is_silent(control, request.binding, at)
    if change.applied:
        if silent:
            say(
                f"{decision}, but the run is not heard of: its process may be dead, and nothing goes on by itself"
            )
            say(f"next: `goldrun ops runs {request.binding.request_id}`, then `goldrun resume`")
        else:
            say(f"{decision}: the run goes on with this answer")
        return ExitCode.OK
    say(f"nothing changed: {(change.why or 'unknown').replace('_', ' ')}")
    return ExitCode.CHECK_FAILED
