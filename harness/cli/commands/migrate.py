"""`goldrun migrate`: rewrite old names in golden tasks and policy files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, say, warn
from harness.errors import TaskError
from harness.golden.migrate import find_files, migrate_file
from harness.text import safe_text
from runtime.entry.old_names import OLD_LIMITS
from runtime.errors import ExitCode


def migrate(
    paths: Annotated[list[Path], typer.Argument(help="Golden tasks, policy files, or folders of them.")],
    json: Json = False,
) -> int:
    """Rewrite old names in golden tasks and policy files; nothing else in them changes."""
    # One file that cannot be rewritten must not stop the others.
    rows = [_migrate(file) for path in paths for file in find_files(path)]
    if not rows:
        raise TaskError(
            "there is no golden task or policy file here",
            where=", ".join(map(str, paths)),
            next_step="name the folder that holds them",
        )
    if json:
        emit_json({"schema": "goldrun.migrate/1", "files": rows})
    else:
        _print(rows)
    for row in rows:
        if row["error"]:
            warn(row["error"])
    return ExitCode.DATA if any(row["error"] for row in rows) else ExitCode.OK


def _migrate(path: Path) -> dict[str, Any]:
    try:
        done = migrate_file(path)
    except TaskError as error:
        return {"path": str(path), "renamed": [], "error": str(error)}
    renamed = [{"line": line, "old": old, "new": OLD_LIMITS[old]} for line, old in done.renamed]
    return {"path": str(path), "renamed": renamed, "error": None}


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for one in row["renamed"]:
            say(f"{safe_text(row['path'], 200)}:{one['line']}: {one['old']} -> {one['new']}")
    changed = sum(bool(row["renamed"]) for row in rows)
    say(f"{changed} of {len(rows)} files rewritten")
