"""goldrun's harness: record, replay, golden tests, diffs and reports of agent runs.

The public names are those in `__all__`; everything deeper may change. Names load when they are used, so that
`import harness` stays light; `dir()` lists those that are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cassette.golden import read_cassette, write_cassette
    from harness.cassette.store import iter_recordings
    from harness.diff import diff_traces
    from harness.golden.fluent import check
    from harness.golden.loader import load_task
    from harness.golden.runner import run_task
    from harness.record.production import ProductionRecorder
    from harness.record.recorder import Recorder
    from harness.sessions.replay import replay_run
    from harness.wire.session import record_http

__all__ = [
    "ProductionRecorder",
    "Recorder",
    "check",
    "diff_traces",
    "iter_recordings",
    "load_task",
    "read_cassette",
    "record_http",
    "replay_run",
    "run_task",
    "write_cassette",
]

_HOME = {
    "ProductionRecorder": "harness.record.production",
    "Recorder": "harness.record.recorder",
    "check": "harness.golden.fluent",
    "diff_traces": "harness.diff",
    "iter_recordings": "harness.cassette.store",
    "load_task": "harness.golden.loader",
    "read_cassette": "harness.cassette.golden",
    "record_http": "harness.wire.session",
    "replay_run": "harness.sessions.replay",
    "run_task": "harness.golden.runner",
    "write_cassette": "harness.cassette.golden",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    import runtime.doors

    return runtime.doors.load_name(__name__, _HOME, name)
