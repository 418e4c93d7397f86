"""The agent: instructions, model, tools and policy; all that a run follows from besides its request."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.core.checking import Problems, shown
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
        self._check_kinds()
        names = [t.name for t in self.tools]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise UsageError(f"agent {self.name!r} has two tools named {doubled[0]!r}")
        if self.max_result_bytes < MIN_LIMIT_BYTES:
            raise UsageError(
                f"agent {self.name!r} limits results to {self.max_result_bytes} bytes",
                next_step=f"allow at least {MIN_LIMIT_BYTES}",
            )

    def _check_kinds(self) -> None:
        given: Any = self  # Python lets a field hold anything
        problems = Problems(f"Agent {self.name!r}")
        problems.text("name", self.name)
        problems.text("model", self.model)
        for name in ("instructions", "version", "provider"):
            problems.text(name, getattr(self, name), optional=True)
        if isinstance(given.tools, tuple | list):
            for tool in given.tools:
                if not isinstance(tool, Tool):
                    problems.say(_no_tool(tool))
        else:
            problems.add("tools", given.tools, "a tuple of tools")
        problems.instance("policy", self.policy, Policy)
        problems.instance("budget", self.budget, Budget)
        problems.instance("model_retry", self.model_retry, RetryPolicy)
        problems.instance("tool_retry", self.tool_retry, RetryPolicy)
        problems.names("fallbacks", self.fallbacks)
        problems.instance("parameters", self.parameters, Mapping)
        problems.whole("max_output_tokens", self.max_output_tokens, at_least=1, optional=True)
        problems.number("model_timeout_s", self.model_timeout_s, above=0.0, optional=True)
        problems.instance("max_result_bytes", self.max_result_bytes, int)
        problems.refuse()
        for name in ("tools", "fallbacks"):
            # A list is what many write; kept as it is, it could change under a run.
            object.__setattr__(self, name, tuple(getattr(self, name)))

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


def _no_tool(value: object) -> str:
    if inspect.isroutine(value):
        name = getattr(value, "__name__", "function")
        return f"tools holds the plain function {name!r}: decorate it with @tool"
    return f"tools holds {shown(value)}, which is no tool: decorate a function with @tool"
