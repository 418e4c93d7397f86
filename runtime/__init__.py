"""goldrun's runtime: run tool-calling agents under hard guards.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import runtime` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.control.breaker import BreakerRule
    from runtime.control.ledger import Caps
    from runtime.control.ratelimit import RateRule
    from runtime.core.effects import ApprovalAnswer, AskApproval, Performer
    from runtime.core.messages import (
        FilePart,
        Message,
        ModelReply,
        ModelRequest,
        ReasoningPart,
        RefusalPart,
        TextPart,
        ToolCallPart,
        ToolResponsePart,
        ToolSchema,
    )
    from runtime.core.money import Rate, Tier, Usage
    from runtime.core.outcomes import Failure, FailureKind, InputReply, Limits, Outcome, ToolResult, Used
    from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy
    from runtime.core.run import Header, ToolDecl, Totals
    from runtime.core.trace import Trace
    from runtime.dialects.errors import DialectError
    from runtime.entry.agent import Agent
    from runtime.entry.policy_file import policy_json_schema, read_policy
    from runtime.entry.request import DuplicateRunError, Request, RunResult
    from runtime.entry.run import run_agent, run_agent_async
    from runtime.entry.service import Principal, RefusedError, Service
    from runtime.entry.state import State
    from runtime.errors import (
        BugError,
        CheckFailed,
        DataError,
        ExitCode,
        GoldrunError,
        JournalError,
        Signal,
        UsageError,
    )
    from runtime.execution.clock import Clock
    from runtime.execution.control_rules import ControlRules
    from runtime.execution.governor import Governor
    from runtime.models.answer_bytes import AnswerTooLarge
    from runtime.models.anthropic import AnthropicMessages
    from runtime.models.http_model import AsyncHttpClient, HttpResponse
    from runtime.models.openai_chat import OpenAIChat
    from runtime.models.prices import PriceTable
    from runtime.observability.audit import AuditLog, verify_audit
    from runtime.observability.event import Event, EventSink
    from runtime.observability.logs import LogSink
    from runtime.observability.metrics import MetricsSink
    from runtime.observability.run_events import ObservingPerformer
    from runtime.observability.summary import summary
    from runtime.ports.control_store import ControlStore
    from runtime.ports.control_values import ControlUnavailable
    from runtime.ports.models import ModelPort, StreamObserver
    from runtime.ports.prices import RateSource
    from runtime.ports.state import (
        Artifacts,
        CredentialProvider,
        Memory,
        MemoryAudit,
        MemoryChange,
        MemoryEntry,
        Scope,
        Secret,
        Slot,
    )
    from runtime.ports.tools import ApprovalDesk, InputSource, ToolContext
    from runtime.state.control.sqlite_store import SqliteControlStore
    from runtime.state.tools.credentials import StaticCredentials
    from runtime.testing.loopback import LoopbackProvider
    from runtime.testing.scripted import ScriptedModel, calls, fails, says
    from runtime.tools.arguments import ArgumentsModel
    from runtime.tools.tool import RetryableError, Tool, ToolError, tool

__all__ = [
    "Agent",
    "AnswerTooLarge",
    "AnthropicMessages",
    "ApprovalAnswer",
    "ApprovalDesk",
    "ArgumentRule",
    "ArgumentsModel",
    "Artifacts",
    "AskApproval",
    "AsyncHttpClient",
    "AuditLog",
    "BreakerRule",
    "Budget",
    "BugError",
    "Caps",
    "CheckFailed",
    "Clock",
    "ControlRules",
    "ControlStore",
    "ControlUnavailable",
    "CredentialProvider",
    "DataError",
    "DialectError",
    "DuplicateRunError",
    "Event",
    "EventSink",
    "ExitCode",
    "Failure",
    "FailureKind",
    "FilePart",
    "GoldrunError",
    "Governor",
    "Header",
    "HttpResponse",
    "InputReply",
    "InputSource",
    "JournalError",
    "Limits",
    "LogSink",
    "LoopLimits",
    "LoopbackProvider",
    "Memory",
    "MemoryAudit",
    "MemoryChange",
    "MemoryEntry",
    "Message",
    "MetricsSink",
    "ModelPort",
    "ModelReply",
    "ModelRequest",
    "ObservingPerformer",
    "OpenAIChat",
    "Outcome",
    "Performer",
    "Policy",
    "PriceTable",
    "Principal",
    "Rate",
    "RateRule",
    "RateSource",
    "ReasoningPart",
    "RefusalPart",
    "RefusedError",
    "Request",
    "RetryPolicy",
    "RetryableError",
    "RunResult",
    "Scope",
    "ScriptedModel",
    "Secret",
    "Service",
    "Signal",
    "Slot",
    "SqliteControlStore",
    "State",
    "StaticCredentials",
    "StreamObserver",
    "TextPart",
    "Tier",
    "Tool",
    "ToolCallPart",
    "ToolContext",
    "ToolDecl",
    "ToolError",
    "ToolResponsePart",
    "ToolResult",
    "ToolSchema",
    "Totals",
    "Trace",
    "Usage",
    "UsageError",
    "Used",
    "calls",
    "fails",
    "policy_json_schema",
    "read_policy",
    "run_agent",
    "run_agent_async",
    "says",
    "summary",
    "tool",
    "verify_audit",
]

_HOME = {
    "Agent": "runtime.entry.agent",
    "AnswerTooLarge": "runtime.models.answer_bytes",
    "AnthropicMessages": "runtime.models.anthropic",
    "ApprovalAnswer": "runtime.core.effects",
    "ApprovalDesk": "runtime.ports.tools",
    "ArgumentRule": "runtime.core.policy",
    "ArgumentsModel": "runtime.tools.arguments",
    "Artifacts": "runtime.ports.state",
    "AskApproval": "runtime.core.effects",
    "AsyncHttpClient": "runtime.models.http_model",
    "AuditLog": "runtime.observability.audit",
    "BreakerRule": "runtime.control.breaker",
    "Budget": "runtime.core.policy",
    "BugError": "runtime.errors",
    "Caps": "runtime.control.ledger",
    "CheckFailed": "runtime.errors",
    "Clock": "runtime.execution.clock",
    "ControlRules": "runtime.execution.control_rules",
    "ControlStore": "runtime.ports.control_store",
    "ControlUnavailable": "runtime.ports.control_values",
    "CredentialProvider": "runtime.ports.state",
    "DataError": "runtime.errors",
    "DialectError": "runtime.dialects.errors",
    "DuplicateRunError": "runtime.entry.request",
    "Event": "runtime.observability.event",
    "EventSink": "runtime.observability.event",
    "ExitCode": "runtime.errors",
    "Failure": "runtime.core.outcomes",
    "FailureKind": "runtime.core.outcomes",
    "FilePart": "runtime.core.messages",
    "GoldrunError": "runtime.errors",
    "Governor": "runtime.execution.governor",
    "Header": "runtime.core.run",
    "HttpResponse": "runtime.models.http_model",
    "InputReply": "runtime.core.outcomes",
    "InputSource": "runtime.ports.tools",
    "JournalError": "runtime.errors",
    "Limits": "runtime.core.outcomes",
    "LogSink": "runtime.observability.logs",
    "LoopLimits": "runtime.core.policy",
    "LoopbackProvider": "runtime.testing.loopback",
    "Memory": "runtime.ports.state",
    "MemoryAudit": "runtime.ports.state",
    "MemoryChange": "runtime.ports.state",
    "MemoryEntry": "runtime.ports.state",
    "Message": "runtime.core.messages",
    "MetricsSink": "runtime.observability.metrics",
    "ModelPort": "runtime.ports.models",
    "ModelReply": "runtime.core.messages",
    "ModelRequest": "runtime.core.messages",
    "ObservingPerformer": "runtime.observability.run_events",
    "OpenAIChat": "runtime.models.openai_chat",
    "Outcome": "runtime.core.outcomes",
    "Performer": "runtime.core.effects",
    "Policy": "runtime.core.policy",
    "PriceTable": "runtime.models.prices",
    "Principal": "runtime.entry.service",
    "Rate": "runtime.core.money",
    "RateRule": "runtime.control.ratelimit",
    "RateSource": "runtime.ports.prices",
    "ReasoningPart": "runtime.core.messages",
    "RefusalPart": "runtime.core.messages",
    "RefusedError": "runtime.entry.service",
    "Request": "runtime.entry.request",
    "RetryPolicy": "runtime.core.policy",
    "RetryableError": "runtime.tools.tool",
    "RunResult": "runtime.entry.request",
    "Scope": "runtime.ports.state",
    "ScriptedModel": "runtime.testing.scripted",
    "Secret": "runtime.ports.state",
    "Service": "runtime.entry.service",
    "Signal": "runtime.errors",
    "Slot": "runtime.ports.state",
    "SqliteControlStore": "runtime.state.control.sqlite_store",
    "State": "runtime.entry.state",
    "StaticCredentials": "runtime.state.tools.credentials",
    "StreamObserver": "runtime.ports.models",
    "TextPart": "runtime.core.messages",
    "Tier": "runtime.core.money",
    "Tool": "runtime.tools.tool",
    "ToolCallPart": "runtime.core.messages",
    "ToolContext": "runtime.ports.tools",
    "ToolDecl": "runtime.core.run",
    "ToolError": "runtime.tools.tool",
    "ToolResponsePart": "runtime.core.messages",
    "ToolResult": "runtime.core.outcomes",
    "ToolSchema": "runtime.core.messages",
    "Totals": "runtime.core.run",
    "Trace": "runtime.core.trace",
    "Usage": "runtime.core.money",
    "UsageError": "runtime.errors",
    "Used": "runtime.core.outcomes",
    "calls": "runtime.testing.scripted",
    "fails": "runtime.testing.scripted",
    "policy_json_schema": "runtime.entry.policy_file",
    "read_policy": "runtime.entry.policy_file",
    "run_agent": "runtime.entry.run",
    "run_agent_async": "runtime.entry.run",
    "says": "runtime.testing.scripted",
    "summary": "runtime.observability.summary",
    "tool": "runtime.tools.tool",
    "verify_audit": "runtime.observability.audit",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
