"""Aligned diff of two runs: one changed call is one entry, and nothing is dropped."""

from __future__ import annotations

from harness.diff.compare import diff_traces
from harness.diff.document import SCHEMA, CallDiff, Change, Delta, Divergence, SameRun, TraceDiff, diff_json
from harness.diff.markdown import render_markdown
from harness.diff.render import render_stat, render_text

__all__ = [
    "SCHEMA",
    "CallDiff",
    "Change",
    "Delta",
    "Divergence",
    "SameRun",
    "TraceDiff",
    "diff_json",
    "diff_traces",
    "render_markdown",
    "render_stat",
    "render_text",
]
