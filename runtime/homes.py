"""The module of each public name of `runtime`, for its lazy door."""

from __future__ import annotations

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
    "runtime.core.keys": "Cleaner",
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
    "runtime.entry.resume": "resume_from resume_run",
    "runtime.entry.run": "run_agent run_agent_async",
    "runtime.entry.service": "Principal RefusedError Service",
    "runtime.entry.state": "State",
    "runtime.errors": "BugError CheckFailed DataError ExitCode GoldrunError JournalError Signal UsageError",
    "runtime.execution.clock": "Clock",
    "runtime.execution.control_rules": "ControlRules",
    "runtime.execution.governor": "Governor",
    "runtime.execution.thread_slots": "limit_slots",
    "runtime.execution.world": "World",
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
    "runtime.ports.archive": "RecordedRun RunArchive",
    "runtime.ports.control_store": "ControlStore",
    "runtime.ports.control_values": (
        "Act BreakerView CallAnswer CallAsk CallEnd Checkpoint ControlUnavailable Lease LeaseAnswer "
        "Run RunKey RunOpened RunOwner RunStopped RunTakenOver SwitchesChanged Upstream"
    ),
    "runtime.ports.models": "ModelPort StreamObserver",
    "runtime.ports.prices": "RateSource",
    "runtime.ports.state": (
        "Artifacts CallScratch CallState CredentialProvider Memory MemoryAudit MemoryChange MemoryEntry RunMemory "
        "RunState Scope Secret SharedState Slot"
    ),
    "runtime.ports.tools": "ApprovalDesk ChildRuns InputSource ToolContext ToolPort",
    "runtime.state.control.sqlite_store": "SqliteControlStore",
    "runtime.state.tools.credentials": "ScopedClients StaticCredentials",
    "runtime.testing.loopback": "LoopbackProvider",
    "runtime.testing.scripted": "ScriptedModel calls fails says",
    "runtime.tools.arguments": "ArgumentsModel",
    "runtime.tools.tool": "RetryableError Tool ToolError ToolOptions tool",
}
HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}
