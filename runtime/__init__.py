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
    from runtime.core.keys import Cleaner
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
    from runtime.entry.resume import resume_from, resume_run
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
    from runtime.execution.thread_slots import limit_slots
    from runtime.execution.world import World
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
    from runtime.ports.archive import RecordedRun, RunArchive
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
    from runtime.ports.tools import ApprovalDesk, ChildRuns, InputSource, ToolContext, ToolPort
    from runtime.state.control.sqlite_store import SqliteControlStore
    from runtime.state.tools.credentials import ScopedClients, StaticCredentials
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
    "ChildRuns",
    "Claim",
    "ClaimAnswer",
    "ClaimChange",
    "Cleaner",
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
    "RecordedRun",
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
    "RunArchive",
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
    "ScopedClients",
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
    "ToolPort",
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
    "World",
    "calls",
    "fails",
    "limit_slots",
    "policy_json_schema",
    "read_policy",
    "resume_from",
    "resume_run",
    "run_agent",
    "run_agent_async",
    "says",
    "summary",
    "tool",
    "verify_audit",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors
    import runtime.homes

    return runtime.doors.load_name(__name__, runtime.homes.HOME, name)
