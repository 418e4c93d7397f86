"""`goldrun ops runs`, `acts`: list runs, and the acts of operators."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from harness.cli.control_store import now, open_store, time_text
from harness.cli.options import DEFAULT_STORE, Json, Limit, Store, Tenant
from harness.cli.output import print_rows
from runtime.errors import DataError
from runtime.ports.control_values import ControlUnavailable


def runs(
    request_id: Annotated[str | None, typer.Argument(help="Find this run.")] = None,
    tenant: Tenant = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that have not ended.")] = False,
    limit: Limit = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """List runs, latest first, or find one by request id; a run without a heartbeat is set to `crashed`."""
    with open_store(store) as control:
        with suppress(ControlUnavailable):  # an operator without write access still gets the list
            control.sweep_runs(now=now())
        matches = (
            control.list_runs(tenant=tenant, open_only=open_only, limit=limit)
            if request_id is None
            else control.find_runs(request_id)
        )
    if request_id is not None and not matches:
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
        for r in matches
    ]
    return print_rows("goldrun.ops.runs/1", "runs", rows, as_json=json)


def acts(limit: Limit = 50, store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List the acts of operators: who, when, what and why; latest first."""
    with open_store(store) as control:
        all_acts = control.list_acts(limit=limit)
    rows = [
        {"at": time_text(a.at), "by": a.by, "action": a.action, "subject": a.subject, "reason": a.reason}
        for a in all_acts
    ]
    return print_rows("goldrun.ops.acts/1", "acts", rows, as_json=json)
