"""`goldrun history`: list, inspect and maintain the history."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import HISTORY, History, Json
from harness.cli.output import emit_json, say
from harness.text import safe_text, table
from runtime.errors import ExitCode

app: typer.Typer = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Deploy = Annotated[str, typer.Argument(help="Deploy label.")]


@app.callback()
def history_commands() -> None:
    """List, inspect, remove, rename, compact and rebuild the history."""


@app.command("ls")
def list_command(history: History = HISTORY, json: Json = False) -> int:
    """List the deploys of the history."""
    from harness.reports import history_json

    found = history_json(history)
    if json:
        emit_json(found)
        return ExitCode.OK
    rows = [
        [
            safe_text(d["label"], 60),
            str(d["runs"]),
            str(d["calls"]),
            (d["first"] or "unknown")[:19],
            (d["last"] or "unknown")[:19],
            f"{d['bytes']:,}",
            str(len(d["damaged"])),
        ]
        for d in found["deploys"]
    ]
    say(table(rows, ("deploy", "runs", "calls", "first", "last", "bytes", "damaged"), "lrrllrr"))
    return ExitCode.OK


@app.command("show")
def show(deploy: Deploy, history: History = HISTORY, json: Json = False) -> int:
    """Show one deploy: its files, damaged ones, and runs that a newer execution superseded."""
    from harness.reports.upkeep import show_deploy

    found = show_deploy(history, deploy)
    if json:
        emit_json(found)
        return ExitCode.OK
    one = found["deploys"][0]
    say(
        f"{safe_text(deploy, None)}: {one['runs']} runs, {one['calls']} calls, {len(one['files'])} files,"
        f" {one['bytes']:,} bytes, schema version {one['schema_version']}"
    )
    for path in one["damaged"]:
        say(f"damaged: {safe_text(path, None)}")
    for run in one["superseded"]:
        say(
            f"superseded: {safe_text(run['request_id'], 80)} execution {run['execution'] or 0}"
            f" (task {safe_text(str(run['task']), 60)}, repeat {run['repeat']})"
        )
    return ExitCode.OK


@app.command("rm")
def remove_command(deploy: Deploy, history: History = HISTORY) -> int:
    """Remove a deploy from the history; its recordings stay."""
    from harness.reports.upkeep import remove

    say(f"removed {remove(history, deploy)} runs of deploy {safe_text(deploy, None)}")
    return ExitCode.OK


@app.command("rename")
def rename_command(
    deploy: Deploy,
    to: Annotated[str, typer.Argument(help="The new label.")],
    history: History = HISTORY,
) -> int:
    """Give a deploy another label."""
    from harness.reports.upkeep import rename

    rename(history, deploy, to)
    say(f"renamed deploy {safe_text(deploy, None)} to {safe_text(to, None)}")
    return ExitCode.OK


@app.command("rebuild")
def rebuild_command(history: History = HISTORY) -> int:
    """Rebuild the manifest from the files; damaged files are left out and named."""
    from harness.reports.upkeep import rebuild

    found = rebuild(history)
    for path in found.damaged:
        say(f"damaged, left out: {safe_text(path, None)}")
    say(f"the manifest names {found.parts} files")
    return ExitCode.DATA if found.damaged else ExitCode.OK


@app.command("compact")
def compact_command(
    deploy: Annotated[str | None, typer.Argument(help="Deploy label; all if none is given.")] = None,
    history: History = HISTORY,
) -> int:
    """Merge the files of each deploy; runs stay as they are."""
    from harness.reports.upkeep import compact

    say(f"{compact(history, deploy)} fewer files")
    return ExitCode.OK
