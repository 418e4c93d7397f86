"""Record runs: a performer that appends each effect and outcome before the flow goes on."""

from __future__ import annotations

from harness.record.recorder import MemorySink, Recorder, RecordingPerformer, Sink

__all__ = ["MemorySink", "Recorder", "RecordingPerformer", "Sink"]
