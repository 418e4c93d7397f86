"""How a worker records in production: rotation, durability, failures, sampling, retention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness.record.retention import Retention
from harness.record.sampling import Sampling
from runtime.journal.files import Durability

OnFailure = Literal["fail_run", "drop"]
ROTATE_BYTES = 64 * 1024 * 1024
ROTATE_S = 300.0
MAX_RUN_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a worker records.

    Attributes:
        rotate_bytes: Size from which new runs get a new journal.
        rotate_s: Seconds from which they do.
        durability: `process` loses nothing to a kill; `power` also syncs behind the appends.
        on_failure: What happens to a run whose record cannot be written.
        max_run_bytes: Bytes of one run's records; beyond it the record counts as one that cannot be written.
        sampling: Which runs are kept when a journal is sealed.
        retention: How long segments of the folder stay.
        tenant_blind: Name tenants in footers by their fingerprint only; file names never name them.
        redact: Remove secrets before anything is written.
    """

    rotate_bytes: int = ROTATE_BYTES
    rotate_s: float = ROTATE_S
    durability: Durability = "process"
    on_failure: OnFailure = "fail_run"
    max_run_bytes: int = MAX_RUN_BYTES
    sampling: Sampling = field(default_factory=Sampling)
    retention: Retention = field(default_factory=Retention)
    tenant_blind: bool = False
    redact: bool = True
