"""goldrun's harness: record, replay, golden tests, diffs and reports of agent runs.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import harness` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cassette.golden_cassette import read_cassette, write_cassette
    from harness.cassette.store import iter_recordings
    from harness.diff import TraceDiff, diff_traces
    from harness.errors import CassetteError, ImportFailed, TaskError
    from harness.golden.loader import find_tasks, load_task
    from harness.golden.project import Project
    from harness.golden.record import record_task
    from harness.golden.rules.facts import CheckFailure
    from harness.golden.rules.fluent import check
    from harness.golden.runner import GoldenOutcome, run_task
    from harness.golden.task import GoldenTask
    from harness.golden.update import update_baseline
    from harness.importers.runlog import ForeignRunLog, Said
    from harness.record.production import ProductionRecorder
    from harness.record.recorder import Recorder
    from harness.record.retention import Retention
    from harness.record.sampling import Sampling
    from harness.record.settings import Settings
    from harness.redaction.redactor import Redactor, process_redactor
    from harness.redaction.scan import ScanError
    from harness.sessions.replay import RunReplay, replay_run
    from harness.wire.misses import WireMiss
    from harness.wire.session import HttpSession, record_http

__all__ = [
    "CassetteError",
    "CheckFailure",
    "ForeignRunLog",
    "GoldenOutcome",
    "GoldenTask",
    "HttpSession",
    "ImportFailed",
    "ProductionRecorder",
    "Project",
    "Recorder",
    "Redactor",
    "Retention",
    "RunReplay",
    "Said",
    "Sampling",
    "ScanError",
    "Settings",
    "TaskError",
    "TraceDiff",
    "WireMiss",
    "check",
    "diff_traces",
    "find_tasks",
    "iter_recordings",
    "load_task",
    "process_redactor",
    "read_cassette",
    "record_http",
    "record_task",
    "replay_run",
    "run_task",
    "update_baseline",
    "write_cassette",
]

_HOME = {
    "ForeignRunLog": "harness.importers.runlog",
    "Said": "harness.importers.runlog",
    "CassetteError": "harness.errors",
    "CheckFailure": "harness.golden.rules.facts",
    "GoldenOutcome": "harness.golden.runner",
    "GoldenTask": "harness.golden.task",
    "HttpSession": "harness.wire.session",
    "ImportFailed": "harness.errors",
    "ProductionRecorder": "harness.record.production",
    "Project": "harness.golden.project",
    "Recorder": "harness.record.recorder",
    "Redactor": "harness.redaction.redactor",
    "Retention": "harness.record.retention",
    "RunReplay": "harness.sessions.replay",
    "Sampling": "harness.record.sampling",
    "ScanError": "harness.redaction.scan",
    "Settings": "harness.record.settings",
    "TaskError": "harness.errors",
    "TraceDiff": "harness.diff",
    "WireMiss": "harness.wire.misses",
    "check": "harness.golden.rules.fluent",
    "diff_traces": "harness.diff",
    "find_tasks": "harness.golden.loader",
    "iter_recordings": "harness.cassette.store",
    "load_task": "harness.golden.loader",
    "process_redactor": "harness.redaction.redactor",
    "read_cassette": "harness.cassette.golden_cassette",
    "record_http": "harness.wire.session",
    "record_task": "harness.golden.record",
    "replay_run": "harness.sessions.replay",
    "run_task": "harness.golden.runner",
    "update_baseline": "harness.golden.update",
    "write_cassette": "harness.cassette.golden_cassette",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
