"""goldrun's runtime: run tool-calling agents under hard guards.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import runtime` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.core.effects import ApprovalAnswer
    from runtime.core.policy import Budget, LoopLimits, Policy, RetryPolicy
    from runtime.core.trace import Trace
    from runtime.entry.agent import Agent
    from runtime.entry.run import Request, RunResult, run_agent, run_agent_async
    from runtime.models.loopback import LoopbackProvider
    from runtime.models.openai_chat import OpenAIChat
    from runtime.models.prices import PriceTable
    from runtime.models.scripted import ScriptedModel
    from runtime.ports.tools import ToolContext
    from runtime.tools.tool import RetryableError, Tool, ToolError, tool

__all__ = [
    "Agent",
    "ApprovalAnswer",
    "Budget",
    "LoopLimits",
    "LoopbackProvider",
    "OpenAIChat",
    "Policy",
    "PriceTable",
    "Request",
    "RetryPolicy",
    "RetryableError",
    "RunResult",
    "ScriptedModel",
    "Tool",
    "ToolContext",
    "ToolError",
    "Trace",
    "run_agent",
    "run_agent_async",
    "tool",
]

_HOME = {
    "Agent": "runtime.entry.agent",
    "ApprovalAnswer": "runtime.core.effects",
    "Budget": "runtime.core.policy",
    "LoopLimits": "runtime.core.policy",
    "LoopbackProvider": "runtime.models.loopback",
    "OpenAIChat": "runtime.models.openai_chat",
    "Policy": "runtime.core.policy",
    "PriceTable": "runtime.models.prices",
    "Request": "runtime.entry.run",
    "RetryPolicy": "runtime.core.policy",
    "RetryableError": "runtime.tools.tool",
    "RunResult": "runtime.entry.run",
    "ScriptedModel": "runtime.models.scripted",
    "Tool": "runtime.tools.tool",
    "ToolContext": "runtime.ports.tools",
    "ToolError": "runtime.tools.tool",
    "Trace": "runtime.core.trace",
    "run_agent": "runtime.entry.run",
    "run_agent_async": "runtime.entry.run",
    "tool": "runtime.tools.tool",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return list(__all__)
