"""`goldrun ops budget`, `caps`, `breakers`, `close-breaker`: show and change the limits on calls."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.control_store import note, now, open_store, time_text
from harness.cli.options import DEFAULT_STORE, Environment, Json, Limit, Reason, Store, Tenant
from harness.cli.output import print_rows, say
from harness.text import safe_text
from runtime.control.ledger import NO_CAPS, Caps, ScopeUse, effective
from runtime.control.scopes import day_scope, parts_of
from runtime.core.money import usd_text, usd_to_nanos
from runtime.errors import DataError, ExitCode, UsageError
from runtime.ports.control_values import BreakerView


def budget(
    prefix: Annotated[str, typer.Argument(help="Start of a scope, e.g. a tenant.")] = "",
    limit: Limit = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Show spent and held amounts of each run, each tenant's day and in total, and the caps in force."""
    with open_store(store) as control:
        scopes = control.list_spend(now=now(), prefix=prefix, limit=limit)
    return print_rows("goldrun.ops.budget/1", "scopes", [_budget_row(use) for use in scopes], as_json=json)


def caps(
    tenant: Annotated[str, typer.Argument(help="Whose day.")],
    environment: Annotated[str, typer.Option(help="In which environment.")] = "prod",
    usd_day: Annotated[float | None, typer.Option(min=0, help="Dollars for today.")] = None,
    tokens_day: Annotated[int | None, typer.Option(min=0, help="Tokens for today.")] = None,
    tool_calls_day: Annotated[int | None, typer.Option(min=0, help="Tool calls for today.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Go back to the caps of the service.")] = False,
    reason: Reason = "",
    store: Store = DEFAULT_STORE,
) -> int:
    """Set a tenant's caps for today (UTC) in place of the service's caps, or clear them."""
    limits = (usd_day, tokens_day, tool_calls_day)
    if clear == any(limit is not None for limit in limits):
        raise UsageError("give either --clear or at least one of --usd-day, --tokens-day, --tool-calls-day")
    with open_store(store) as control:
        at = now()
        key = day_scope(tenant, environment, at)
        (use,) = control.read_spend((key,), now=at)
        before = use.override or NO_CAPS
        after = Caps(
            nanos=before.nanos if usd_day is None else usd_to_nanos(usd_day),
            tokens=before.tokens if tokens_day is None else tokens_day,
            tool_calls=before.tool_calls if tool_calls_day is None else tool_calls_day,
            steps=before.steps,
        )
        control.put_caps(key, None if clear else after)
        words = "caps of the service" if clear else _caps_words(after)
        note(control, "caps", f"{key}: {words}", reason)
        (use,) = control.read_spend((key,), now=at)
    say(f"{safe_text(key, 120)}: {words}; {_spent_words(use)}")
    return ExitCode.OK


def breakers(
    prefix: Annotated[str, typer.Argument(help="Start of a key, e.g. a tenant.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not closed.")] = False,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """List the breakers of tools and models; one that is open refuses its calls until `retry at`."""
    with open_store(store) as control:
        all_breakers = control.list_breakers(prefix=prefix)
    rows = [
        {
            "key": b.key,
            "phase": b.phase,
            "trips": b.trips,
            "retry_at": None if b.phase == "closed" else time_text(b.retry_at),
        }
        for b in all_breakers
        if not (open_only and b.phase == "closed")
    ]
    return print_rows("goldrun.ops.breakers/1", "breakers", rows, as_json=json)


def close_breaker(
    name: Annotated[str, typer.Argument(help="Tool or model, or a key as `goldrun ops breakers` lists it.")],
    tenant: Tenant = None,
    environment: Environment = None,
    reason: Reason = "",
    store: Store = DEFAULT_STORE,
) -> int:
    """Close the breakers of a tool or model after the service behind it works again."""
    with open_store(store) as control:
        matches = [b for b in control.list_breakers() if _is_named(b, name, tenant, environment)]
        if not matches:
            raise DataError(
                f"no breaker of {name!r}", where=str(store), next_step="list them with `goldrun ops breakers`"
            )
        closed = [b for b in matches if control.close_breaker(b.key)]
        for breaker in closed:
            note(control, "close-breaker", breaker.key, reason)
            say(f"closed {safe_text(breaker.key, 160)}: its calls start again")
    if not closed:
        say(f"nothing changed: no breaker of {safe_text(name, 80)} is open")
    return ExitCode.OK if closed else ExitCode.CHECK_FAILED


def _is_named(breaker: BreakerView, name: str, tenant: str | None, environment: str | None) -> bool:
    of_tenant, of_environment, _, called = (*parts_of(breaker.key), "", "", "", "")[:4]
    if tenant not in (None, of_tenant) or environment not in (None, of_environment):
        return False
    return name in (breaker.key, called)


def _budget_row(use: ScopeUse) -> dict[str, Any]:
    hold = effective(use.caps, use.override)
    return {
        "scope": use.key,
        "spent_usd": usd_text(use.spent.nanos),
        "held_usd": usd_text(use.held.nanos),
        "cap_usd": usd_text(hold.nanos),
        "tokens": use.spent.tokens,
        "cap_tokens": hold.tokens,
        "tool_calls": use.spent.tool_calls,
        "cap_tool_calls": hold.tool_calls,
        "set_by_operator": None if use.override in (None, NO_CAPS) else _caps_words(use.override),
    }


def _caps_words(caps: Caps) -> str:
    parts = (
        None if caps.nanos is None else f"{usd_text(caps.nanos)} usd",
        None if caps.tokens is None else f"{caps.tokens} tokens",
        None if caps.tool_calls is None else f"{caps.tool_calls} tool calls",
        None if caps.steps is None else f"{caps.steps} steps",
    )
    return ", ".join(part for part in parts if part)


def _spent_words(use: ScopeUse) -> str:
    return f"{usd_text(use.spent.nanos)} usd spent and {usd_text(use.held.nanos)} held so far"
