"""What a run starts from and what it ends with: header and totals."""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.messages import Message, ToolSchema
from runtime.core.money import Rate
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.core.rules_v1 import policy_hash

HEADER_VERSION = 2
"""Version of the header; `stored_header` reads those before."""

Source = Literal["golden", "prod", "replay", "import", "lift"]


class ToolDecl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool as the header keeps it: enough to run the flow again without the tool's code.

    Attributes:
        schema: What the model is sent.
        write: Whether a call has effects outside.
        idempotent: Whether a repeated call is harmless by itself.
        takes_key: Whether the tool uses the idempotency key, which makes a repeated write safe.
        timeout_s: Hard limit of one attempt, in seconds.
        cost_nanousd: Price of one attempt; counts against the budget of dollars.
        children: Whether a call may start child runs; they draw on slices of the run's budget.
        dedupe_by: Arguments that make the business key: a call with equal ones gets the first call's result.
        dedupe_scope: Among which calls: those of the tenant, or those of one run and its child runs.
        dedupe_s: Seconds for which the first call's result answers; `None` for seven days.
        scopes: What the caller must hold for a call to be allowed; see `Policy.scopes`.
        cache_s: Seconds in which an equal call of the tenant may be given the kept result; `None` for never.
        version: Version of the tool, for the cache; its schema stands in for one.
        max_result_bytes: What a model is shown of a result, in place of the agent's limit.
    """

    schema: ToolSchema
    write: bool = False
    idempotent: bool = False
    takes_key: bool = False
    timeout_s: float | None = msgspec.field(default_factory=lambda: 30.0)
    cost_nanousd: int = 0
    children: bool = False
    dedupe_by: tuple[str, ...] = ()
    dedupe_scope: Literal["run", "tenant"] = "tenant"
    dedupe_s: float | None = None
    scopes: tuple[str, ...] = ()
    cache_s: float | None = None
    version: str | None = None
    max_result_bytes: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether a call whose answer was lost may be made again."""
        return not self.write or self.idempotent or self.takes_key


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a run follows from, besides its outcomes; the value of `Begin`.

    Attributes:
        version: Version of this form.
        request_id: Made at entry; finds the run.
        run_id: Names one execution (request id, deploy, source, repeat).
        parent: Request id of the run that started this one.
        root: Request id of the outermost run, where that is another one.
        tenant: Bound at entry.
        environment: Bound at entry.
        started_at: Wall time, ISO 8601 UTC; `None` where it was not recorded.
        instructions: System text; `None` where `input` holds it.
        input: Messages before the first reply.
        models: Model id, then fallbacks in order.
        parameters: Configured model parameters in the dialect's names.
        tools: Declared tools, or `"opaque"` where schemas are unknown (imported runs).
        inputs: Whether the effect `input` follows each step.
        model_retry: Retry schedule of model calls.
        tool_retry: Retry schedule of tool calls.
        metered: Whether each model call is reserved at its worst case for caps across runs, also where the run has
            no money or token limit of its own.
        governed: Whether a control store guards the run; one that does not say so may have been guarded too.
        seed: Seeds the schedule's jitter.
        price_table: Id of the price table behind `rates`.
        rates: What each model costs.
        redaction: `default`, or `none` where the recording was asked to keep data as it is.
        redaction_key: Id of the key its secrets were renamed under; `None` where they are numbered.
        assert_only: Why the run cannot be replayed, if it cannot.
        recorded_duration_s: Duration of the whole run, where single times are unknown.
        recorded_tokens: Tokens of the whole run, where usage of single calls is unknown.
        labels: Facts about the run, for example `passed`.
    """

    version: int = msgspec.field(default_factory=lambda: HEADER_VERSION)
    request_id: str
    run_id: str
    parent: str | None = None
    root: str | None = None
    tenant: str
    environment: str
    agent: str
    agent_version: str | None = None
    deploy: str | None = None
    source: Source = "prod"
    suite: str | None = None
    task: str | None = None
    repeat: int = 0
    started_at: str | None = None
    instructions: str | None = None
    input: tuple[Message, ...] = ()
    models: tuple[str, ...] = ()
    provider: str | None = None
    parameters: dict[str, object] = {}
    tools: tuple[ToolDecl, ...] | Literal["opaque"] = ()
    inputs: Literal["none", "recorded"] = "none"
    # A default that a factory makes is written too: what a run may do stands in its header in full.
    policy: Policy = msgspec.field(default_factory=Policy)
    budget: Budget = msgspec.field(default_factory=Budget)
    model_retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    tool_retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    metered: bool = False
    governed: bool = False
    seed: int = 0
    price_table: str | None = None
    rates: dict[str, Rate] = {}
    prompt_hash: str | None = None
    tools_hash: str | None = None
    policy_hash: str | None = None
    redaction: Literal["default", "none"] = "default"
    redaction_key: str | None = None
    assert_only: str | None = None
    recorded_duration_s: float | None = None
    recorded_tokens: int | None = None
    labels: dict[str, object] = {}

    @property
    def tool_schemas(self) -> tuple[ToolSchema, ...]:
        """Schemas of the declared tools; empty where they are opaque."""
        return () if self.tools == "opaque" else tuple(t.schema for t in self.tools)


def prompt_hash(instructions: str | None, messages: tuple[Message, ...]) -> str:
    """Return the fingerprint of what the model is sent before the user's text."""
    return fingerprint([instructions, [m for m in messages if m.role == "system"]])


def tools_hash(tools: tuple[ToolDecl, ...] | Literal["opaque"]) -> str | None:
    """Return the fingerprint of the tool schemas; `None` where they are unknown."""
    return None if tools == "opaque" else fingerprint([t.schema for t in tools])


def with_hashes(header: Header) -> Header:
    """Return the header with its three fingerprints filled in."""
    return msgspec.structs.replace(
        header,
        prompt_hash=prompt_hash(header.instructions, header.input),
        tools_hash=tools_hash(header.tools),
        policy_hash=policy_hash(header.policy, header.budget),
    )


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a run used.

    `tool_calls` counts calls the model asked for, however they ended; `tool_executions` counts attempts
    that started; `retries` counts attempts after the first. A missing price or usage is `None`, never 0.
    """

    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    tool_executions: int = 0
    tool_calls_by_name: dict[str, int] = {}
    retries: int = 0
    denials: int = 0
    approvals: int = 0
    errors: int = 0
    loops: int = 0
    in_doubt: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    cost_nanousd: int | None = None
    duration_s: float | None = None
    model_s: float | None = None
    tool_s: float | None = None
