"""goldrun's runtime: run tool-calling agents under hard guards.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import runtime` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.core.effects import ApprovalAnswer
    from runtime.core.policy import Budget, LoopLimits, Policy, RetryPolicy
    from runtime.core.trace import Trace
    from runtime.entry.agent import Agent
    from runtime.entry.policy_file import policy_json_schema, read_policy
    from runtime.entry.request import Request, RunResult
    from runtime.entry.run import run_agent, run_agent_async
    from runtime.entry.service import Principal, Service
    from runtime.entry.state import State
    from runtime.execution.governor import Governor
    from runtime.execution.rules import ControlRules
    from runtime.models.anthropic import AnthropicMessages
    from runtime.models.loopback import LoopbackProvider
    from runtime.models.openai_chat import OpenAIChat
    from runtime.models.prices import PriceTable
    from runtime.models.scripted import ScriptedModel
    from runtime.ports.state import Slot
    from runtime.ports.tools import ToolContext
    from runtime.state.control.sqlite_store import SqliteControlStore
    from runtime.tools.tool import RetryableError, Tool, ToolError, tool

__all__ = [
    "Agent",
    "AnthropicMessages",
    "ApprovalAnswer",
    "Budget",
    "ControlRules",
    "Governor",
    "LoopLimits",
    "LoopbackProvider",
    "OpenAIChat",
    "Policy",
    "PriceTable",
    "Principal",
    "Request",
    "RetryPolicy",
    "RetryableError",
    "RunResult",
    "ScriptedModel",
    "Service",
    "Slot",
    "SqliteControlStore",
    "State",
    "Tool",
    "ToolContext",
    "ToolError",
    "Trace",
    "policy_json_schema",
    "read_policy",
    "run_agent",
    "run_agent_async",
    "tool",
]

_HOME = {
    "Agent": "runtime.entry.agent",
    "AnthropicMessages": "runtime.models.anthropic",
    "ApprovalAnswer": "runtime.core.effects",
    "Budget": "runtime.core.policy",
    "ControlRules": "runtime.execution.rules",
    "Governor": "runtime.execution.governor",
    "LoopLimits": "runtime.core.policy",
    "LoopbackProvider": "runtime.models.loopback",
    "OpenAIChat": "runtime.models.openai_chat",
    "Policy": "runtime.core.policy",
    "PriceTable": "runtime.models.prices",
    "Principal": "runtime.entry.service",
    "Request": "runtime.entry.request",
    "RetryPolicy": "runtime.core.policy",
    "RetryableError": "runtime.tools.tool",
    "RunResult": "runtime.entry.request",
    "ScriptedModel": "runtime.models.scripted",
    "Service": "runtime.entry.service",
    "Slot": "runtime.ports.state",
    "SqliteControlStore": "runtime.state.control.sqlite_store",
    "State": "runtime.entry.state",
    "Tool": "runtime.tools.tool",
    "ToolContext": "runtime.ports.tools",
    "ToolError": "runtime.tools.tool",
    "Trace": "runtime.core.trace",
    "policy_json_schema": "runtime.entry.policy_file",
    "read_policy": "runtime.entry.policy_file",
    "run_agent": "runtime.entry.run",
    "run_agent_async": "runtime.entry.run",
    "tool": "runtime.tools.tool",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
