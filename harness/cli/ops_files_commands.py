"""Commands about recorded files: recover, verify, find, resume, promote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(recover)
    app.command()(verify)
    app.command()(find)
    app.command()(resume)
    app.command()(promote)


def recover(
    path: Annotated[Path, typer.Argument(help="An orphan journal (*.jsonl), or a folder of them.")],
    store: Annotated[
        Path | None,
        typer.Option(
            envvar="GOLDRUN_CONTROL_STORE", help="Set `crashed` in this control store too, for those cut off."
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Seal journals that a dead process left; runs that were cut off end `crashed`."""
    from harness.cli.commands.recover import recover_path

    return recover_path(path, store=store, as_json=json)


def verify(
    paths: Annotated[list[Path], typer.Argument(help="Cassettes, segments, journals, or folders of them.")],
    json: Json = False,
) -> int:
    """Say whether recordings are intact and whether they are complete: 0 both, 1 incomplete, 3 damaged."""
    from harness.cli.commands.recover import verify_paths

    return verify_paths(paths, as_json=json)


def find(
    request_id: Annotated[str, typer.Argument(help="Request id or run id.")],
    root: Annotated[
        str, typer.Option(help="Folder of recordings, or URL of an object store.")
    ] = "recordings",
    index: Annotated[bool, typer.Option("--index", help="Write the folder's index file first.")] = False,
    json: Json = False,
) -> int:
    """Find a run by its request id over a folder or an object store."""
    from harness.cli.commands.recover import find_runs

    return find_runs(root, request_id, index=index, as_json=json)


def resume(
    target: Annotated[str, typer.Argument(help="The cut-off run: JOURNAL, or FILE#REQUEST_ID.")],
    agent: Annotated[str, typer.Option(help="The agent's code: module:factory.")],
    out: Annotated[Path, typer.Option(help="Journal to write the whole run to; it must not exist.")],
    script: Annotated[
        str | None, typer.Option(help="Answer model calls by this policy on loopback: module:function.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible endpoint.")] = None,
    api_key_env: Annotated[str, typer.Option(help="Variable that holds its key.")] = "OPENAI_API_KEY",
    store: Annotated[
        Path | None,
        typer.Option(
            envvar="GOLDRUN_CONTROL_STORE", help="The control store it ran under; needed if it had one."
        ),
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="The service's limits across runs, a ControlRules: module:name.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of its state: memory, artifacts, cached results."
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Carry a run that a crash cut off to its end, once; what was completed is not done again."""
    from harness.cli.commands.resume import Resume, resume_target

    asked = Resume(
        agent=agent,
        out=out,
        store=store,
        rules=rules,
        state=state,
        script=script,
        base_url=base_url,
        api_key_env=api_key_env,
    )
    return resume_target(target, asked, as_json=json)


def promote(
    target: Annotated[str, typer.Argument(help="The production run: SEGMENT#REQUEST_ID.")],
    task: Annotated[str, typer.Option(help="Name of the golden task: suite/name.")],
    agent: Annotated[
        str | None, typer.Option(help="Run this agent's code in the task: module:factory.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Project folder with golden/ and cassettes/.")] = Path(),
    json: Json = False,
) -> int:
    """Make a golden task, its cassette and its baseline from a production run."""
    from harness.cli.commands.promote import promote_target

    return promote_target(target, task, agent=agent, root=root, as_json=json)
