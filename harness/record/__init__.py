"""Record runs: a performer that appends each effect and outcome before the flow continues."""

from __future__ import annotations

from harness.record.production import ProductionRecorder
from harness.record.recorder import Recorder
from harness.record.retention import Retention
from harness.record.sampling import Sampling
from harness.record.settings import Settings
from harness.record.shutdown import install_signal_handler
from runtime.journal.recording_performer import MemorySink, RecordingPerformer, Sink

__all__ = [
    "MemorySink",
    "ProductionRecorder",
    "Recorder",
    "RecordingPerformer",
    "Retention",
    "Sampling",
    "Settings",
    "Sink",
    "install_signal_handler",
]
