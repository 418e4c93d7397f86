"""Commands about golden tasks: test, migrate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(demo)
    app.command(name="test")(run_tests)
    app.command()(migrate)


def demo(
    keep: Annotated[Path | None, typer.Option(help="Work in this empty folder and leave it there.")] = None,
) -> int:
    """Show the whole loop on a support agent: record, golden suite, two bad deploys, diff, cost report."""
    from harness.cli.commands.demo import run_demo

    return run_demo(keep)


def run_tests(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Task files or folders; golden/ by default.")
    ] = None,
    pytest: Annotated[bool, typer.Option(help="Run under pytest, or on the same engine without it.")] = True,
    deploy: Annotated[str | None, typer.Option(help="Version label of this run in reports.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write outcomes as rows of a history below this.")
    ] = None,
    json: Json = False,
) -> int:
    """Run golden tasks."""
    from harness.cli.commands.test import test_paths

    return test_paths(paths or [Path("golden")], pytest=pytest, deploy=deploy, report=report, as_json=json)


def migrate(
    paths: Annotated[list[Path], typer.Argument(help="Golden tasks, policy files, or folders of them.")],
    json: Json = False,
) -> int:
    """Rewrite old names in golden tasks and policy files; nothing else in them changes."""
    from harness.cli.commands.migrate import migrate_paths

    return migrate_paths(paths, as_json=json)
