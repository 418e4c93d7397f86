"""`goldrun ops`: an operator's commands on a control store, one file for each kind of object."""

from __future__ import annotations

from typing import ClassVar

import typer

from harness.cli.lazy_group import LazyGroup, Verb


class OpsCommands(LazyGroup):
    """The commands, in the order of the help."""

    verbs: ClassVar[tuple[Verb, ...]] = (
        Verb(
            "kill",
            "ops.switches:kill",
            "Stop runs and keep new ones from starting; takes effect in every process.",
        ),
        Verb(
            "disable",
            "ops.switches:disable",
            "Keep calls of a tool, of a model or of a tenant's runs from starting, without a deploy.",
        ),
        Verb(
            "enable",
            "ops.switches:enable",
            "Undo `kill` or `disable`; exit 1 and list the other switches of that name if this one is not pulled.",
        ),
        Verb("switches", "ops.switches:switches", "List the switches that are pulled."),
        Verb("approvals", "ops.approvals:approvals", "List the calls that wait for approval, oldest first."),
        Verb("approve", "ops.approvals:approve", "Grant one exact call."),
        Verb("deny", "ops.approvals:deny", "Refuse one exact call."),
        Verb(
            "claims",
            "ops.claims:claims",
            "List idempotency claims of writes; claims in doubt wait to be settled.",
        ),
        Verb(
            "settle",
            "ops.claims:settle",
            "Settle a write in doubt, after checking the system it writes to.",
        ),
        Verb(
            "budget",
            "ops.limits:budget",
            "Show spent and held amounts of each run, each tenant's day and in total, and the caps in force.",
        ),
        Verb(
            "caps",
            "ops.limits:caps",
            "Set a tenant's caps for today (UTC) in place of the service's caps, or clear them.",
        ),
        Verb(
            "breakers",
            "ops.limits:breakers",
            "List the breakers of tools and models; one that is open refuses its calls until `retry at`.",
        ),
        Verb(
            "close-breaker",
            "ops.limits:close_breaker",
            "Close the breakers of a tool or model after the service behind it works again.",
        ),
        Verb(
            "runs",
            "ops.runs:runs",
            "List runs, latest first, or find one by request id; a run without a heartbeat is set to `crashed`.",
        ),
        Verb(
            "acts",
            "ops.runs:acts",
            "List the acts of operators: who, when, what and why; latest first.",
        ),
        Verb(
            "audit",
            "ops.audit:audit",
            "Check that an audit log is intact, and complete as far as its checkpoints show.",
        ),
    )


app: typer.Typer = typer.Typer(
    cls=OpsCommands, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def _describe() -> None:
    """Act on a control store: switches, approvals, claims, caps, breakers, runs."""
