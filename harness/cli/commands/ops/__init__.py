"""`goldrun ops`: what an operator does with a control store, one file for each kind of thing acted on."""

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
            "Stop what runs and let nothing of it start; takes effect in every process.",
        ),
        Verb(
            "disable",
            "ops.switches:disable",
            "Let no call of a tool, of a model, or of a tenant's runs start; without a deploy.",
        ),
        Verb(
            "enable",
            "ops.switches:enable",
            "Put a switch back; exit 1 if there is no such switch, and the others on that name are listed.",
        ),
        Verb(
            "stop",
            "ops.stopping:stop",
            "Stop every worker of a store; by a file beside it where the store itself cannot be reached.",
        ),
        Verb(
            "resume",
            "ops.stopping:resume",
            "Let the workers go on: remove the stop file, and put the switch on everything back.",
        ),
        Verb("switches", "ops.switches:switches", "List the switches that are pulled."),
        Verb("approvals", "ops.approvals:approvals", "List the calls that wait for an answer, oldest first."),
        Verb("approve", "ops.approvals:approve", "Grant one exact call."),
        Verb("deny", "ops.approvals:deny", "Refuse one exact call."),
        Verb(
            "claims",
            "ops.claims:claims",
            "List idempotency claims of writes; those in doubt wait to be settled.",
        ),
        Verb(
            "settle",
            "ops.claims:settle",
            "Settle a write in doubt, after a look at the system it writes to.",
        ),
        Verb(
            "budget",
            "ops.limits:budget",
            "Show what runs, tenants' days and everything together have spent and hold, and the caps that hold now.",
        ),
        Verb(
            "caps",
            "ops.limits:caps",
            "Set what a tenant may use today (UTC) in place of the service's caps, or clear that.",
        ),
        Verb(
            "breakers",
            "ops.limits:breakers",
            "List the breakers of tools and models; one that is open refuses its calls until `retry at`.",
        ),
        Verb(
            "close-breaker",
            "ops.limits:close_breaker",
            "Close the breakers of a tool or model, once what it calls is mended.",
        ),
        Verb(
            "runs",
            "ops.runs:runs",
            "List runs, latest first, or find one by request id; a run without a heartbeat is set to `crashed`.",
        ),
        Verb(
            "acts",
            "ops.runs:acts",
            "List what operators did with this command: who, when, what and why; latest first.",
        ),
        Verb(
            "audit",
            "ops.audit:audit",
            "Say whether an audit log is intact, and whether it is complete as far as its checkpoints tell.",
        ),
    )


app: typer.Typer = typer.Typer(
    cls=OpsCommands, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def _describe() -> None:
    """Act on a control store: switches, approvals, claims, caps, breakers, runs."""
