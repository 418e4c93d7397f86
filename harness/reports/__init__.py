"""The history of runs in Parquet, and reports that compare two deploys task by task."""

from harness.reports.compare import compare
from harness.reports.history import IngestResult, ingest, list_deploys, load
from harness.reports.markdown import render_markdown
from harness.reports.render import render_text
from harness.reports.report import Report, report_json

__all__ = [
    "IngestResult",
    "Report",
    "compare",
    "ingest",
    "list_deploys",
    "load",
    "render_markdown",
    "render_text",
    "report_json",
]
