"""`goldrun ops kill`, `disable`, `enable`, `switches`: stop runs and calls, and let them start again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.control_store import note, now, open_store, operator, time_text
from harness.cli.options import DEFAULT_STORE, Environment, Json, Reason, Store, Tenant
from harness.cli.output import print_rows, say
from harness.text import safe_text
from runtime.control.switches import Switch, SwitchRef, check_ref
from runtime.errors import ExitCode, UsageError

Create = Annotated[
    bool, typer.Option("--create", help="Create the store if it is missing, before its service first starts.")
]
_KILLS = {"all": "global", "tenant": "tenant", "agent": "agent", "run": "run"}
_DISABLES = {"tool": "tool", "model": "model", "tenant": "tenant"}


def kill(
    scope: Annotated[str, typer.Argument(help="all, tenant, agent or run.")],
    name: Annotated[str, typer.Argument(help="Tenant, agent or request id; nothing for all.")] = "",
    reason: Reason = "",
    tenant: Tenant = None,
    environment: Environment = None,
    create: Create = False,
    store: Store = DEFAULT_STORE,
) -> int:
    """Stop runs and keep new ones from starting; takes effect in every process."""
    ref = _ref(_KILLS, "kill", scope, name, tenant, environment)
    return _pull(ref, "kill", reason, store, create=create)


def disable(
    scope: Annotated[str, typer.Argument(help="tool, model or tenant.")],
    name: Annotated[str, typer.Argument(help="Exact name.")],
    reason: Reason = "",
    tenant: Tenant = None,
    environment: Environment = None,
    create: Create = False,
    store: Store = DEFAULT_STORE,
) -> int:
    """Keep calls of a tool, of a model or of a tenant's runs from starting, without a deploy."""
    ref = _ref(_DISABLES, "disable", scope, name, tenant, environment)
    return _pull(ref, "disable", reason, store, create=create)


def enable(
    scope: Annotated[str, typer.Argument(help="all, tenant, agent, run, tool or model.")],
    name: Annotated[str, typer.Argument(help="Exact name; nothing for all.")] = "",
    reason: Reason = "",
    tenant: Tenant = None,
    environment: Environment = None,
    store: Store = DEFAULT_STORE,
) -> int:
    """Undo `kill` or `disable`; exit 1 and list the other switches of that name if this one is not pulled."""
    ref = _ref({**_KILLS, **_DISABLES}, "enable", scope, name, tenant, environment)
    with open_store(store) as control:
        was_pulled = any(s.ref == ref for s in control.read_switches().switches)
        epoch = control.clear_switch(ref)
        if was_pulled:
            note(control, "enable", _words(ref), reason)
        board = control.read_switches()
    others = [s for s in board.switches if (s.ref.scope, s.ref.name) == (ref.scope, ref.name)]
    if was_pulled:
        say(f"enabled {_words(ref)} (epoch {epoch})")
    else:
        say(f"nothing changed: no switch is pulled for {_words(ref)}")
    for switch in others:
        say(f"  still pulled: {_words(switch.ref)}, by {_by(switch)}")
    return ExitCode.OK if was_pulled else ExitCode.CHECK_FAILED


def switches(store: Store = DEFAULT_STORE, json: Json = False) -> int:
    """List the switches that are pulled."""
    with open_store(store) as control:
        board = control.read_switches()
    rows = [
        {
            "scope": s.ref.scope,
            "name": s.ref.name,
            "tenant": s.ref.tenant,
            "environment": s.ref.environment,
            "by": s.by,
            "reason": s.reason,
            "at": time_text(s.at),
        }
        for s in board.switches
    ]
    return print_rows("goldrun.ops.switches/1", "switches", rows, as_json=json)


def _pull(ref: SwitchRef, action: str, reason: str, store: Path, *, create: bool) -> int:
    with open_store(store, create=create) as control:
        epoch = control.put_switch(Switch(ref=ref, by=operator(), reason=reason, at=now()))
        note(control, action, _words(ref), reason)
    say(f"pulled {_words(ref)} (epoch {epoch}): nothing of it starts from now on")
    return ExitCode.OK


def _ref(
    scopes: dict[str, str], verb: str, scope: str, name: str, tenant: str | None, environment: str | None
) -> SwitchRef:
    if scope not in scopes:
        *first, last = scopes
        raise UsageError(f"{verb} knows {', '.join(first)} and {last}, not {scope!r}")
    kind: Any = scopes[scope]
    ref = SwitchRef(scope=kind, name=name, tenant=tenant, environment=environment)
    try:
        check_ref(ref)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return ref


def _words(ref: SwitchRef) -> str:
    narrowed = [
        f"{what} {name}" for what, name in (("tenant", ref.tenant), ("environment", ref.environment)) if name
    ]
    only = f" only for {', '.join(narrowed)}" if narrowed else ""
    scope = "all" if ref.scope == "global" else ref.scope
    return safe_text(f"{scope} {ref.name}".strip(), 80) + safe_text(only, 120)


def _by(switch: Switch) -> str:
    why = f" ({safe_text(switch.reason, 80)})" if switch.reason else ""
    return f"{safe_text(switch.by, 40)} at {time_text(switch.at)}{why}"
