"""Kill and disable switches: which active switches apply to a run or a call.

A switch on `global`, `agent` or `run` kills; one on `tenant`, `tool` or `model` disables. Any of them may be
narrowed to a tenant or an environment. A switch on a run holds for its child runs too.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SwitchScope = Literal["global", "tenant", "agent", "model", "tool", "run"]
Cause = Literal["kill", "tenant", "disabled"]
"""As `Admission.cause` names it."""


class SwitchRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which switch.

    Attributes:
        scope: What it stops.
        name: Tenant, agent, model, tool or request id; empty for `global`.
        tenant: Only for this tenant; `None` for all.
        environment: Only in this environment; `None` for all.
    """

    scope: SwitchScope
    name: str = ""
    tenant: str | None = None
    environment: str | None = None


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that is pulled: which, by whom, why and when (epoch seconds)."""

    ref: SwitchRef
    by: str
    reason: str
    at: float


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """All switches that are pulled.

    Attributes:
        epoch: One higher after each change.
        switches: In the order of their references.
    """

    epoch: int = 0
    switches: tuple[Switch, ...] = ()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The run that switches are read for."""

    tenant: str
    environment: str
    agent: str
    request_id: str


def check_ref(ref: SwitchRef) -> None:
    """Refuse a switch that names nothing, or a name where there is none.

    Raises:
        ValueError: If a scope other than `global` has no name, or `global` has one.
    """
    if (ref.scope == "global") == bool(ref.name):
        rule = "names nothing" if ref.scope == "global" else "names what it stops"
        raise ValueError(f"a switch on {ref.scope} {rule}, not {ref.name!r}")


def order(ref: SwitchRef) -> tuple[str, str, str, str]:
    """Return the sort key of a switch; no two switches share it."""
    tenant = "" if ref.tenant is None else f"={ref.tenant}"
    environment = "" if ref.environment is None else f"={ref.environment}"
    return (ref.scope, ref.name, tenant, environment)


def holds(ref: SwitchRef, target: Target, *, tools: tuple[str, ...] = (), model: str | None = None) -> bool:
    """Return whether a pulled switch concerns a run, one of these tools or this model."""
    if ref.tenant is not None and ref.tenant != target.tenant:
        return False
    if ref.environment is not None and ref.environment != target.environment:
        return False
    match ref.scope:
        case "global":
            return True
        case "tenant":
            return ref.name == target.tenant
        case "agent":
            return ref.name == target.agent
        case "run":
            return target.request_id == ref.name or target.request_id.startswith(f"{ref.name}/")
        case "tool":
            return ref.name in tools
        case "model":
            return ref.name == model


def pulled(board: Board, target: Target, tools: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the switches that hold for a run and some tools as `Controls.pulled` lists them.

    Each once, by precedence: `kill`, `tenant`, then `tool:<name>` in the order of the tools.
    """
    if not board.switches:
        return ()
    refs = [s.ref for s in board.switches if holds(s.ref, target, tools=tools)]
    scopes = {ref.scope for ref in refs}
    found = ["kill"] if scopes & {"global", "agent", "run"} else []
    if "tenant" in scopes:
        found.append("tenant")
    off = {ref.name for ref in refs if ref.scope == "tool"}
    return (*found, *(f"tool:{tool}" for tool in dict.fromkeys(tools) if tool in off))


def refusal(
    board: Board, target: Target, *, tool: str | None = None, model: str | None = None
) -> tuple[Cause, Switch] | None:
    """Return the cause and the switch that keep one call from starting; the strongest of several."""
    if not board.switches:
        return None
    tools = () if tool is None else (tool,)
    held = [s for s in board.switches if holds(s.ref, target, tools=tools, model=model)]
    causes: tuple[tuple[Cause, frozenset[str]], ...] = (
        ("kill", frozenset({"global", "agent", "run"})),
        ("tenant", frozenset({"tenant"})),
        ("disabled", frozenset({"tool", "model"})),
    )
    for cause, scopes in causes:
        for switch in held:
            if switch.ref.scope in scopes:
                return cause, switch
    return None
