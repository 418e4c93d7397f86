"""The history of runs in Parquet, and reports that compare two deploys task by task."""

from harness.reports.compare import compare
from harness.reports.history import IngestResult, ingest
from harness.reports.markdown import render_markdown
from harness.reports.reading import list_deploys
from harness.reports.render import render_text
from harness.reports.report import Report, report_json
from harness.reports.rows import RunToIngest, recorded_run
from harness.reports.upkeep import history_json

__all__ = [
    "IngestResult",
    "Report",
    "RunToIngest",
    "compare",
    "history_json",
    "ingest",
    "list_deploys",
    "recorded_run",
    "render_markdown",
    "render_text",
    "report_json",
]
