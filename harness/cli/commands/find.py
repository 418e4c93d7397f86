"""`goldrun find`: find the recording of a run by its request id."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cassette.index import find_run, write_index
from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.cli.targets import no_such_run
from harness.lift.http_runs import find_http
from harness.text import safe_text
from runtime.errors import ExitCode


def find(
    request_id: Annotated[str, typer.Argument(help="Request id or run id.")],
    root: Annotated[
        str, typer.Option(help="Folder of recordings, or URL of an object store.")
    ] = "recordings",
    index: Annotated[bool, typer.Option("--index", help="Write the folder's index file first.")] = False,
    json: Json = False,
) -> int:
    """Find a run by its request id over a folder or an object store."""
    if index:
        write_index(Path(root))
    runs = find_run(root, request_id, other=find_http)
    if json:
        emit_json({"schema": "goldrun.find/1", "runs": [asdict(one) for one in runs]})
    else:
        for one in runs:
            gone = f"  deleted at {one.deleted_at}" if one.deleted_at else ""
            say(f"{safe_text(one.target, 200)}  {safe_text(one.stop_reason, 60)}{gone}")
    if not runs:
        raise no_such_run(request_id, root)
    return ExitCode.OK
