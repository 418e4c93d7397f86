"""goldrun's harness: record, replay, golden tests, diffs and reports of agent runs.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import harness` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cassette.golden_cassette import read_cassette, write_cassette
    from harness.diff import TraceDiff, diff_traces
    from harness.diff.document import CallDiff, Change, Delta, Divergence, SameRun
    from harness.errors import CassetteError, ImportFailed, RecordingStopped, TaskError
    from harness.golden.http_cassette import HttpCassette
    from harness.golden.loader import find_tasks, load_task
    from harness.golden.project import Project
    from harness.golden.record import TaskRecording, record_task
    from harness.golden.rules.expect import (
        ApprovalSpec,
        CallSpec,
        Cost,
        Counts,
        Expect,
        ExpectedCall,
        OnceSpec,
        Output,
        Range,
        Tokens,
        Tools,
        VsBaseline,
    )
    from harness.golden.rules.facts import CheckFailure
    from harness.golden.rules.fluent import TraceCheck, check
    from harness.golden.runner import GoldenOutcome, run_task
    from harness.golden.task import (
        GoldenTask,
        HttpAgent,
        InputMessage,
        MatchSpec,
        Quarantine,
        ReplaySpec,
        TaskInput,
        ToolMatch,
    )
    from harness.golden.update import update_baseline
    from harness.importers.runlog import ForeignRunLog, Said
    from harness.record.janitor import Stats
    from harness.record.production import ProductionRecorder
    from harness.record.recorder import Recorder
    from harness.record.retention import Retention
    from harness.record.sampling import Sampling
    from harness.record.settings import Settings
    from harness.redaction.log_filter import RedactingFilter
    from harness.redaction.redactor import Redactor, process_redactor
    from harness.redaction.rules import Rule, Ruleset
    from harness.redaction.scan import ScanError
    from harness.replay.divergence import EffectDivergence
    from harness.replay.matching import Matchers
    from harness.reports.frames import load_history
    from harness.sessions.archive import FolderArchive
    from harness.sessions.recordings import iter_recordings
    from harness.sessions.replay import RunReplay, replay_run
    from harness.wire.export import Exported, export_vcr
    from harness.wire.match_rules import MatchHosts, MatchIgnore, MatchRules
    from harness.wire.misses import Miss, WireMiss
    from harness.wire.recorded_tool import RecordedToolError, recorded_tool
    from harness.wire.run_identity import RunIdentity
    from harness.wire.session import HttpSession, record_http

__all__ = [
    "ApprovalSpec",
    "CallDiff",
    "CallSpec",
    "CassetteError",
    "Change",
    "CheckFailure",
    "Cost",
    "Counts",
    "Delta",
    "Divergence",
    "EffectDivergence",
    "Expect",
    "ExpectedCall",
    "Exported",
    "FolderArchive",
    "ForeignRunLog",
    "GoldenOutcome",
    "GoldenTask",
    "HttpAgent",
    "HttpCassette",
    "HttpSession",
    "ImportFailed",
    "InputMessage",
    "MatchHosts",
    "MatchIgnore",
    "MatchRules",
    "MatchSpec",
    "Matchers",
    "Miss",
    "OnceSpec",
    "Output",
    "ProductionRecorder",
    "Project",
    "Quarantine",
    "Range",
    "RecordedToolError",
    "Recorder",
    "RecordingStopped",
    "RedactingFilter",
    "Redactor",
    "ReplaySpec",
    "Retention",
    "Rule",
    "Ruleset",
    "RunIdentity",
    "RunReplay",
    "Said",
    "SameRun",
    "Sampling",
    "ScanError",
    "Settings",
    "Stats",
    "TaskError",
    "TaskInput",
    "TaskRecording",
    "Tokens",
    "ToolMatch",
    "Tools",
    "TraceCheck",
    "TraceDiff",
    "VsBaseline",
    "WireMiss",
    "check",
    "diff_traces",
    "export_vcr",
    "find_tasks",
    "iter_recordings",
    "load_history",
    "load_task",
    "process_redactor",
    "read_cassette",
    "record_http",
    "record_task",
    "recorded_tool",
    "replay_run",
    "run_task",
    "update_baseline",
    "write_cassette",
]

_ROOMS = {
    "harness.cassette.golden_cassette": "read_cassette write_cassette",
    "harness.sessions.archive": "FolderArchive",
    "harness.sessions.recordings": "iter_recordings",
    "harness.diff": "TraceDiff diff_traces",
    "harness.diff.document": "CallDiff Change Delta Divergence SameRun",
    "harness.errors": "CassetteError ImportFailed RecordingStopped TaskError",
    "harness.golden.http_cassette": "HttpCassette",
    "harness.golden.loader": "find_tasks load_task",
    "harness.golden.project": "Project",
    "harness.golden.record": "TaskRecording record_task",
    "harness.golden.rules.expect": (
        "ApprovalSpec CallSpec Cost Counts Expect ExpectedCall OnceSpec Output Range Tokens Tools VsBaseline"
    ),
    "harness.golden.rules.facts": "CheckFailure",
    "harness.golden.rules.fluent": "TraceCheck check",
    "harness.golden.runner": "GoldenOutcome run_task",
    "harness.golden.task": "GoldenTask HttpAgent InputMessage MatchSpec Quarantine ReplaySpec TaskInput ToolMatch",
    "harness.golden.update": "update_baseline",
    "harness.importers.runlog": "ForeignRunLog Said",
    "harness.record.janitor": "Stats",
    "harness.record.production": "ProductionRecorder",
    "harness.record.recorder": "Recorder",
    "harness.record.retention": "Retention",
    "harness.record.sampling": "Sampling",
    "harness.record.settings": "Settings",
    "harness.redaction.log_filter": "RedactingFilter",
    "harness.redaction.redactor": "Redactor process_redactor",
    "harness.redaction.rules": "Rule Ruleset",
    "harness.redaction.scan": "ScanError",
    "harness.replay.divergence": "EffectDivergence",
    "harness.replay.matching": "Matchers",
    "harness.reports.frames": "load_history",
    "harness.sessions.replay": "RunReplay replay_run",
    "harness.wire.export": "Exported export_vcr",
    "harness.wire.match_rules": "MatchHosts MatchIgnore MatchRules",
    "harness.wire.misses": "Miss WireMiss",
    "harness.wire.recorded_tool": "RecordedToolError recorded_tool",
    "harness.wire.run_identity": "RunIdentity",
    "harness.wire.session": "HttpSession record_http",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
