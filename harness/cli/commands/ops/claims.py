"""`goldrun ops claims`, `settle`: list idempotency claims, and settle writes in doubt."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from harness.cli.control_store import note, now, open_store, operator, time_text
from harness.cli.options import DEFAULT_STORE, Json, Limit, Reason, Store
from harness.cli.output import print_rows, say
from harness.text import safe_text
from runtime.core.effects import ToolResult
from runtime.errors import DataError, ExitCode, UsageError

State = Literal["claimed", "done", "failed", "in_doubt", "reconciled"]


def claims(
    state: Annotated[State, typer.Option(help="Only claims in this state.")] = "in_doubt",
    limit: Limit = 50,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """List idempotency claims of writes; claims in doubt wait to be settled."""
    with open_store(store) as control:
        matches = control.list_claims(state=state, now=now(), limit=limit)
    rows = [
        {
            "key": c.key,
            "state": c.state,
            "owner": c.owner,
            "expires_at": time_text(c.expires_at),
            "by": c.by,
            "note": c.note,
        }
        for c in matches
    ]
    return print_rows("goldrun.ops.claims/1", "claims", rows, as_json=json)


def settle(
    key: Annotated[str, typer.Argument(help="Idempotency key, as `goldrun ops claims` or a trace shows it.")],
    happened: Annotated[bool, typer.Option("--happened", help="The effect is there.")] = False,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="The effect is not there; the write may be made again.")
    ] = False,
    result: Annotated[
        str | None, typer.Option(help="Result of the call; a repeated call gets this text.")
    ] = None,
    reason: Reason = "",
    store: Store = DEFAULT_STORE,
) -> int:
    """Settle a write in doubt, after checking the system it writes to."""
    if happened == did_not_happen:
        raise UsageError("give either --happened or --did-not-happen")
    if did_not_happen and result is not None:
        raise UsageError("a call that did not happen has no result", next_step="leave --result out")
    by = operator()
    tool_result = ToolResult(content=result or f"It was done; {by} found it in place.") if happened else None
    with open_store(store) as control:
        change = control.reconcile_claim(key, happened=happened, by=by, now=now(), result=tool_result)
        if change.why == "unknown":
            raise DataError(
                f"no claim {key!r}",
                where=str(store),
                next_step="list those in doubt with `goldrun ops claims`",
            )
        words = "happened" if happened else "did not happen"
        if change.applied:
            note(control, "settle", f"{key} {words}", reason)
    if change.applied:
        say(f"settled {safe_text(key, 80)}: it {words}")
        return ExitCode.OK
    state = "unknown" if change.claim is None else change.claim.state
    say(f"nothing changed: the claim is {state.replace('_', ' ')}, not in doubt")
    return ExitCode.CHECK_FAILED
