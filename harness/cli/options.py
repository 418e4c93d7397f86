"""Options that several commands share: one name and one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Redact = Annotated[bool, typer.Option(help="Remove secrets before anything is written.")]

HISTORY = Path("reports/history")
History = Annotated[Path, typer.Option(help="Folder of the Parquet history.")]

# For commands that act on a control store.
DEFAULT_STORE = Path("goldrun-control.db")
Store = Annotated[Path, typer.Option(envvar="GOLDRUN_CONTROL_STORE", help="The control store's file.")]
Reason = Annotated[str, typer.Option(help="Why; logged with who and when, see `goldrun ops acts`.")]
Tenant = Annotated[str | None, typer.Option(help="Only for this tenant.")]
Environment = Annotated[str | None, typer.Option(help="Only in this environment.")]
Limit = Annotated[int, typer.Option(min=1, help="Most rows.")]
