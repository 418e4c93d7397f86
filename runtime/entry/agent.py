"""The agent: instructions, model, tools and policy; all that a run follows from besides its request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.errors import UsageError
from runtime.orchestrator.setup import ToolSpec
from runtime.ports.models import ModelPort
from runtime.ports.state import Slot
from runtime.tools.results import MIN_LIMIT_BYTES
from runtime.tools.tool import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What runs.

    Attributes:
        name: Name of the agent, as traces and reports show it.
        model: Model id.
        instructions: System text.
        tools: Tools it has; the policy may allow fewer.
        policy: What it may do.
        budget: How much of it.
        client: Answers its model calls; can also be given to `run_agent`.
        version: Version of the agent's code or prompt.
        provider: Provider of the model, for prices.
        fallbacks: Model ids tried in order when the first fails.
        parameters: Model parameters in the dialect's names.
        max_output_tokens: Output limit of a reply; needed where dollars or tokens are limited.
        model_retry: How failed model calls are repeated.
        tool_retry: How failed tool calls are repeated.
        model_timeout_s: Hard limit of one model attempt, in seconds.
        max_result_bytes: What a model is shown of one tool result; the rest becomes an artifact.
        scratch: The places for values that its runs keep.
    """

    name: str
    model: str
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    policy: Policy = field(default_factory=Policy)
    budget: Budget = field(default_factory=Budget)
    client: ModelPort | None = None
    version: str | None = None
    provider: str | None = None
    fallbacks: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int | None = None
    model_retry: RetryPolicy = field(default_factory=RetryPolicy)
    tool_retry: RetryPolicy = field(default_factory=RetryPolicy)
    model_timeout_s: float | None = 120.0
    max_result_bytes: int = 64 * 1024
    scratch: tuple[Slot[Any], ...] = ()

    def __post_init__(self) -> None:
        names = [t.name for t in self.tools]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise UsageError(f"agent {self.name!r} has two tools named {doubled[0]!r}")
        if self.max_result_bytes < MIN_LIMIT_BYTES:
            raise UsageError(
                f"agent {self.name!r} limits results to {self.max_result_bytes} bytes",
                next_step=f"allow at least {MIN_LIMIT_BYTES}",
            )

    @property
    def specs(self) -> dict[str, ToolSpec]:
        """Its tools as the flow knows them."""
        return {t.name: t.spec for t in self.tools}

    @property
    def model_parameters(self) -> dict[str, object]:
        """Parameters as the header keeps them, the output limit included."""
        known = dict(self.parameters)
        if self.max_output_tokens is not None:
            known.setdefault("max_completion_tokens", self.max_output_tokens)
        return known
