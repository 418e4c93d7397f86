"""`goldrun ops`: pull and reset switches, decide approvals, look at runs and budgets of a control store."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness.cli.output import emit_json, say
from harness.errors import DataError, ExitCode, UsageError
from harness.text import safe_text, table

if TYPE_CHECKING:
    from runtime.control.approvals import ApprovalChange
    from runtime.control.switches import SwitchRef
    from runtime.ports.control_store import ControlStore

app = typer.Typer(help="Act on a control store: switches, approvals, runs, budgets.", no_args_is_help=True)

Store = Annotated[Path, typer.Option(envvar="GOLDRUN_CONTROL_STORE", help="The control store's file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the switch.")]
Tenant = Annotated[str | None, typer.Option(help="Only for this tenant.")]
Environment = Annotated[str | None, typer.Option(help="Only in this environment.")]
DEFAULT_STORE = Path("goldrun-control.db")


def register(parent: typer.Typer) -> None:
    """Add the commands of this file."""
    parent.add_typer(app, name="ops")


@app.command()
def kill(
    scope: Annotated[str, typer.Argument(help="all, tenant, agent or run.")],
    name: Annotated[str, typer.Argument(help="Tenant, agent or request id; nothing for all.")] = "",
    reason: Reason = "",
    tenant: Tenant = None,
    environment: Environment = None,
    store: Store = DEFAULT_STORE,
) -> int:
    """Stop what runs and let nothing of it start; takes effect in every process."""
    scopes: dict[str, Any] = {"all": "global", "tenant": "tenant", "agent": "agent", "run": "run"}
    if scope not in scopes:
        raise UsageError(f"kill knows all, tenant, agent and run, not {scope!r}")
    return _pull(scopes[scope], name, reason, tenant, environment, store)


@app.command()
def disable(
    scope: Annotated[str, typer.Argument(help="tool, model or tenant.")],
    name: Annotated[str, typer.Argument(help="Exact name.")],
    reason: Reason = "",
    tenant: Tenant = None,
    environment: Environment = None,
    store: Store = DEFAULT_STORE,
) -> int:
    """Let no call of a tool, of a model, or of a tenant's runs start; without a deploy."""
    if scope not in {"tool", "model", "tenant"}:
        raise UsageError(f"disable knows tool, model and tenant, not {scope!r}")
    return _pull(scope, name, reason, tenant, environment, store)  # type: ignore[arg-type] # checked above


@app.command()
def enable(
    scope: Annotated[str, typer.Argument(help="all, tenant, agent, run, tool or model.")],
    name: Annotated[str, typer.Argument(help="Exact name; nothing for all.")] = "",
    tenant: Tenant = None,
    environment: Environment = None,
    store: Store = DEFAULT_STORE,
) -> int:
    """Put a switch back."""
    with _open(store) as control:
        epoch = control.clear_switch(_ref("global" if scope == "all" else scope, name, tenant, environment))
    say(f"enabled {scope} {safe_text(name, 80)} (epoch {epoch})")
    return ExitCode.OK


@app.command()
def switches(store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List the switches that are pulled."""
    with _open(store) as control:
        board = control.read_switches()
    rows = [
        {
            "scope": s.ref.scope,
            "name": s.ref.name,
            "tenant": s.ref.tenant,
            "environment": s.ref.environment,
            "by": s.by,
            "reason": s.reason,
            "at": _time(s.at),
        }
        for s in board.switches
    ]
    return _show("goldrun.ops.switches/1", "switches", rows, as_json=json)


@app.command()
def approve(
    approval: Annotated[str, typer.Argument(help="Id, as `goldrun ops approvals` lists it.")],
    reason: Reason = "",
    store: Store = DEFAULT_STORE,
) -> int:
    """Grant one exact call."""
    return _decide(approval, "granted", reason, store)


@app.command()
def deny(
    approval: Annotated[str, typer.Argument(help="Id, as `goldrun ops approvals` lists it.")],
    reason: Reason = "",
    store: Store = DEFAULT_STORE,
) -> int:
    """Refuse one exact call."""
    return _decide(approval, "denied", reason, store)


@app.command()
def approvals(store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List the calls that wait for an answer, oldest first."""
    with _open(store) as control:
        found = control.list_approvals(now=_now())
    rows = [
        {
            "id": a.id,
            "tenant": a.binding.tenant,
            "request_id": a.binding.request_id,
            "tool": a.binding.tool,
            "arguments": a.arguments,
            "expires_at": _time(a.expires_at),
        }
        for a in found
    ]
    return _show("goldrun.ops.approvals/1", "approvals", rows, as_json=json)


@app.command()
def runs(
    request_id: Annotated[str | None, typer.Argument(help="Find this run.")] = None,
    tenant: Tenant = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that have not ended.")] = False,
    limit: Annotated[int, typer.Option(help="Most rows.")] = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """List runs, latest first, or find one by request id."""
    with _open(store) as control:
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
            "started_at": _time(r.started_at),
            "stop_reason": r.stop_reason or "running",
        }
        for r in found
    ]
    return _show("goldrun.ops.runs/1", "runs", rows, as_json=json)


@app.command()
def budget(
    prefix: Annotated[str, typer.Argument(help="Start of a scope, e.g. a tenant.")] = "",
    limit: Annotated[int, typer.Option(help="Most rows.")] = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Show what runs, tenants' days and everything together have spent and hold."""
    from runtime.core.money import usd_text

    with _open(store) as control:
        found = control.list_spend(now=_now(), prefix=prefix, limit=limit)
    rows = [
        {
            "scope": u.key,
            "spent_usd": usd_text(u.spent.nanos),
            "held_usd": usd_text(u.held.nanos),
            "cap_usd": usd_text(u.caps.nanos),
            "tokens": u.spent.tokens,
            "tool_calls": u.spent.tool_calls,
        }
        for u in found
    ]
    return _show("goldrun.ops.budget/1", "scopes", rows, as_json=json)


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

    from runtime.observability.audit import Checkpoint, verify_audit

    key = os.environ.get(key_env)
    if not key:
        raise UsageError(
            f"the variable {key_env} holds no key", next_step="set it to the key the log was written with"
        )
    anchored: tuple[Checkpoint, ...] = ()
    if checkpoints is not None:
        try:
            lines = checkpoints.read_bytes().splitlines()
            anchored = tuple(msgspec.json.decode(line, type=Checkpoint) for line in lines if line.strip())
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"the checkpoints cannot be read: {error}", where=str(checkpoints)) from error
    verdict = verify_audit(path, key=key.encode(), checkpoints=anchored)
    if json:
        emit_json({"schema": "goldrun.ops.audit/1", **msgspec.to_builtins(verdict)})
    else:
        complete = {True: "yes", False: "no", None: "unknown (no checkpoint)"}[verdict.complete]
        say(
            f"intact: {'yes' if verdict.intact else 'no'}; complete: {complete}; {verdict.lines} lines in order"
        )
        if verdict.problem:
            say(safe_text(verdict.problem, 200))
    return ExitCode.OK if verdict.intact and verdict.complete is not False else ExitCode.CHECK_FAILED


def _pull(
    scope: Literal["global", "tenant", "agent", "model", "tool", "run"],
    name: str,
    reason: str,
    tenant: str | None,
    environment: str | None,
    store: Path,
) -> int:
    from runtime.control.switches import Switch

    ref = _ref(scope, name, tenant, environment)
    with _open(store, create=True) as control:
        epoch = control.put_switch(Switch(ref=ref, by=getpass.getuser(), reason=reason, at=_now()))
    say(f"pulled {scope} {safe_text(name, 80)}".rstrip() + f" (epoch {epoch}): nothing of it starts any more")
    return ExitCode.OK


def _ref(scope: Any, name: str, tenant: str | None, environment: str | None) -> SwitchRef:
    from runtime.control.switches import SwitchRef, check_ref

    ref = SwitchRef(scope=scope, name=name, tenant=tenant, environment=environment)
    try:
        check_ref(ref)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return ref


def _decide(approval: str, decision: Literal["granted", "denied"], reason: str, store: Path) -> int:
    now = _now()
    with _open(store) as control:
        found = control.read_approval(approval, now=now)
        if found is None:
            raise DataError(
                f"no approval {approval!r}",
                where=str(store),
                next_step="list them with `goldrun ops approvals`",
            )
        change = control.decide_approval(
            approval,
            decision=decision,
            by=getpass.getuser(),
            args_hash=found.binding.args_hash,
            now=now,
            reason=reason or None,
        )
    return _say_change(change, decision)


def _say_change(change: ApprovalChange, decision: str) -> int:
    if change.applied:
        say(f"{decision}: the run goes on with this answer")
        return ExitCode.OK
    say(f"nothing changed: {(change.why or 'unknown').replace('_', ' ')}")
    return ExitCode.CHECK_FAILED


class _open:  # noqa: N801 - reads as a function where it is used
    """A control store for one command."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if not create and not path.is_file():
            raise DataError(
                "there is no control store here",
                where=str(path),
                next_step="name it with --store or GOLDRUN_CONTROL_STORE",
            )
        self._path = path

    def __enter__(self) -> ControlStore:
        from runtime.state.sqlite_store import SqliteControlStore

        self._store = SqliteControlStore(self._path)
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.close()


def _show(schema: str, name: str, rows: list[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        emit_json({"schema": schema, name: rows})
    elif not rows:
        say(f"no {name}")
    else:
        headers = list(rows[0])
        cells = [["" if r[h] is None else safe_text(str(r[h]), 60) for h in headers] for r in rows]
        say(table(cells, [h.replace("_", " ") for h in headers]))
    return ExitCode.OK


def _now() -> float:
    """Return epoch seconds, from the one place that reads the wall clock."""
    from runtime.execution.clock import SystemClock

    return SystemClock().now().timestamp()


def _time(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
