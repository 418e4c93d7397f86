"""goldrun's runtime: run tool-calling agents under hard guards.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import runtime` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.control.approvals import Approval, ApprovalChange, Binding
    from runtime.control.breaker import BreakerRule, BreakerVerdict
    from runtime.control.claims import Claim, ClaimAnswer, ClaimChange
    from runtime.control.ledger import Amount, Caps, Refusal, Reserved, ScopeUse, Settled, SpendScope
    from runtime.control.ratelimit import RateAnswer, RateRule
    from runtime.control.switches import Board, Switch, SwitchRef
    from runtime.core.effects import (
        Admit,
        ApprovalAnswer,
        AskApproval,
        Begin,
        CallModel,
        CallTool,
        EffectKind,
        End,
        Input,
        Performer,
        ReadControls,
        Refuse,
        Wait,
    )
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
    from runtime.core.outcomes import (
        Denial,
        Failure,
        FailureKind,
        InputReply,
        Limits,
        Outcome,
        ProgramCall,
        ToolResult,
        Used,
    )
    from runtime.core.policy import ArgumentRule, Budget, BudgetSlice, LoopLimits, Policy, RetryPolicy
    from runtime.core.run import Header, ToolDecl, Totals
    from runtime.core.trace import ApprovalEntry, DenialEntry, ModelStep, Step, ToolStep, Trace
    from runtime.dialects.errors import DialectError
    from runtime.entry.agent import Agent
    from runtime.entry.policy_file import (
        ArgumentSpec,
        BudgetSpec,
        LoopSpec,
        PolicySpec,
        policy_json_schema,
        read_policy,
    )
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
    from runtime.journal.recording import Interaction, Recording
    from runtime.journal.records import EndBody, ModelBody, Record
    from runtime.models.answer_bytes import AnswerTooLarge
    from runtime.models.anthropic import AnthropicMessages
    from runtime.models.http_model import AsyncHttpClient, HttpResponse
    from runtime.models.openai_chat import OpenAIChat
    from runtime.models.prices import PriceTable, Snapshot
    from runtime.observability.audit import AuditLog, verify_audit
    from runtime.observability.audit_chain import AuditCheckpoint, AuditVerdict
    from runtime.observability.event import Event, EventSink
    from runtime.observability.logs import LogSink
    from runtime.observability.metrics import MetricsSink
    from runtime.observability.run_events import ObservingPerformer
    from runtime.observability.summary import Summary, summary
    from runtime.orchestrator.setup import Checked, RunSetup, ToolSpec
    from runtime.ports.control_store import ControlStore
    from runtime.ports.control_values import (
        Act,
        BreakerView,
        CallAnswer,
        CallAsk,
        CallEnd,
        Checkpoint,
        ControlUnavailable,
        Lease,
        LeaseAnswer,
        Run,
        RunKey,
        RunOpened,
        RunOwner,
        RunStopped,
        RunTakenOver,
        SwitchesChanged,
        Upstream,
    )
    from runtime.ports.models import ModelPort, StreamObserver
    from runtime.ports.prices import RateSource
    from runtime.ports.state import (
        Artifacts,
        CallScratch,
        CallState,
        CredentialProvider,
        Memory,
        MemoryAudit,
        MemoryChange,
        MemoryEntry,
        RunMemory,
        RunState,
        Scope,
        Secret,
        SharedState,
        Slot,
    )
    from runtime.ports.tools import ApprovalDesk, InputSource, ToolContext
    from runtime.state.control.sqlite_store import SqliteControlStore
    from runtime.state.tools.credentials import StaticCredentials
    from runtime.testing.loopback import LoopbackProvider
    from runtime.testing.scripted import ScriptedModel, calls, fails, says
    from runtime.tools.arguments import ArgumentsModel
    from runtime.tools.tool import RetryableError, Tool, ToolError, ToolOptions, tool

__all__ = [
    "Act",
    "Admit",
    "Agent",
    "Amount",
    "AnswerTooLarge",
    "AnthropicMessages",
    "Approval",
    "ApprovalAnswer",
    "ApprovalChange",
    "ApprovalDesk",
    "ApprovalEntry",
    "ArgumentRule",
    "ArgumentSpec",
    "ArgumentsModel",
    "Artifacts",
    "AskApproval",
    "AsyncHttpClient",
    "AuditCheckpoint",
    "AuditLog",
    "AuditVerdict",
    "Begin",
    "Binding",
    "Board",
    "BreakerRule",
    "BreakerVerdict",
    "BreakerView",
    "Budget",
    "BudgetSlice",
    "BudgetSpec",
    "BugError",
    "CallAnswer",
    "CallAsk",
    "CallEnd",
    "CallModel",
    "CallScratch",
    "CallState",
    "CallTool",
    "Caps",
    "CheckFailed",
    "Checked",
    "Checkpoint",
    "Claim",
    "ClaimAnswer",
    "ClaimChange",
    "Clock",
    "ControlRules",
    "ControlStore",
    "ControlUnavailable",
    "CredentialProvider",
    "DataError",
    "Denial",
    "DenialEntry",
    "DialectError",
    "DuplicateRunError",
    "EffectKind",
    "End",
    "EndBody",
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
    "Input",
    "InputReply",
    "InputSource",
    "Interaction",
    "JournalError",
    "Lease",
    "LeaseAnswer",
    "Limits",
    "LogSink",
    "LoopLimits",
    "LoopSpec",
    "LoopbackProvider",
    "Memory",
    "MemoryAudit",
    "MemoryChange",
    "MemoryEntry",
    "Message",
    "MetricsSink",
    "ModelBody",
    "ModelPort",
    "ModelReply",
    "ModelRequest",
    "ModelStep",
    "ObservingPerformer",
    "OpenAIChat",
    "Outcome",
    "Performer",
    "Policy",
    "PolicySpec",
    "PriceTable",
    "Principal",
    "ProgramCall",
    "Rate",
    "RateAnswer",
    "RateRule",
    "RateSource",
    "ReadControls",
    "ReasoningPart",
    "Record",
    "Recording",
    "Refusal",
    "RefusalPart",
    "Refuse",
    "RefusedError",
    "Request",
    "Reserved",
    "RetryPolicy",
    "RetryableError",
    "Run",
    "RunKey",
    "RunMemory",
    "RunOpened",
    "RunOwner",
    "RunResult",
    "RunSetup",
    "RunState",
    "RunStopped",
    "RunTakenOver",
    "Scope",
    "ScopeUse",
    "ScriptedModel",
    "Secret",
    "Service",
    "Settled",
    "SharedState",
    "Signal",
    "Slot",
    "Snapshot",
    "SpendScope",
    "SqliteControlStore",
    "State",
    "StaticCredentials",
    "Step",
    "StreamObserver",
    "Summary",
    "Switch",
    "SwitchRef",
    "SwitchesChanged",
    "TextPart",
    "Tier",
    "Tool",
    "ToolCallPart",
    "ToolContext",
    "ToolDecl",
    "ToolError",
    "ToolOptions",
    "ToolResponsePart",
    "ToolResult",
    "ToolSchema",
    "ToolSpec",
    "ToolStep",
    "Totals",
    "Trace",
    "Upstream",
    "Usage",
    "UsageError",
    "Used",
    "Wait",
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

_ROOMS = {
    "runtime.control.approvals": "Approval ApprovalChange Binding",
    "runtime.control.breaker": "BreakerRule BreakerVerdict",
    "runtime.control.claims": "Claim ClaimAnswer ClaimChange",
    "runtime.control.ledger": "Amount Caps Refusal Reserved ScopeUse Settled SpendScope",
    "runtime.control.ratelimit": "RateAnswer RateRule",
    "runtime.control.switches": "Board Switch SwitchRef",
    "runtime.core.effects": (
        "Admit ApprovalAnswer AskApproval Begin CallModel CallTool EffectKind End Input Performer ReadControls Refuse "
        "Wait"
    ),
    "runtime.core.messages": (
        "FilePart Message ModelReply ModelRequest ReasoningPart RefusalPart TextPart ToolCallPart ToolResponsePart "
        "ToolSchema"
    ),
    "runtime.core.money": "Rate Tier Usage",
    "runtime.core.outcomes": "Denial Failure FailureKind InputReply Limits Outcome ProgramCall ToolResult Used",
    "runtime.core.policy": "ArgumentRule Budget BudgetSlice LoopLimits Policy RetryPolicy",
    "runtime.core.run": "Header ToolDecl Totals",
    "runtime.core.trace": "ApprovalEntry DenialEntry ModelStep Step ToolStep Trace",
    "runtime.dialects.errors": "DialectError",
    "runtime.entry.agent": "Agent",
    "runtime.entry.policy_file": "ArgumentSpec BudgetSpec LoopSpec PolicySpec policy_json_schema read_policy",
    "runtime.entry.request": "DuplicateRunError Request RunResult",
    "runtime.entry.run": "run_agent run_agent_async",
    "runtime.entry.service": "Principal RefusedError Service",
    "runtime.entry.state": "State",
    "runtime.errors": "BugError CheckFailed DataError ExitCode GoldrunError JournalError Signal UsageError",
    "runtime.execution.clock": "Clock",
    "runtime.execution.control_rules": "ControlRules",
    "runtime.execution.governor": "Governor",
    "runtime.journal.recording": "Interaction Recording",
    "runtime.journal.records": "EndBody ModelBody Record",
    "runtime.models.answer_bytes": "AnswerTooLarge",
    "runtime.models.anthropic": "AnthropicMessages",
    "runtime.models.http_model": "AsyncHttpClient HttpResponse",
    "runtime.models.openai_chat": "OpenAIChat",
    "runtime.models.prices": "PriceTable Snapshot",
    "runtime.observability.audit": "AuditLog verify_audit",
    "runtime.observability.audit_chain": "AuditCheckpoint AuditVerdict",
    "runtime.observability.event": "Event EventSink",
    "runtime.observability.logs": "LogSink",
    "runtime.observability.metrics": "MetricsSink",
    "runtime.observability.run_events": "ObservingPerformer",
    "runtime.observability.summary": "Summary summary",
    "runtime.orchestrator.setup": "Checked RunSetup ToolSpec",
    "runtime.ports.control_store": "ControlStore",
    "runtime.ports.control_values": (
        "Act BreakerView CallAnswer CallAsk CallEnd Checkpoint ControlUnavailable Lease LeaseAnswer Run RunKey "
        "RunOpened RunOwner RunStopped RunTakenOver SwitchesChanged Upstream"
    ),
    "runtime.ports.models": "ModelPort StreamObserver",
    "runtime.ports.prices": "RateSource",
    "runtime.ports.state": (
        "Artifacts CallScratch CallState CredentialProvider Memory MemoryAudit MemoryChange MemoryEntry RunMemory "
        "RunState Scope Secret SharedState Slot"
    ),
    "runtime.ports.tools": "ApprovalDesk InputSource ToolContext",
    "runtime.state.control.sqlite_store": "SqliteControlStore",
    "runtime.state.tools.credentials": "StaticCredentials",
    "runtime.testing.loopback": "LoopbackProvider",
    "runtime.testing.scripted": "ScriptedModel calls fails says",
    "runtime.tools.arguments": "ArgumentsModel",
    "runtime.tools.tool": "RetryableError Tool ToolError ToolOptions tool",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
