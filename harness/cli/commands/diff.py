"""Commands about single runs: replay, show, diff, lift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import emit_json, say, wants_colour
from runtime.errors import ExitCode, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(replay)
    app.command()(show)
    app.command()(diff)
    app.command()(lift)


def replay(
    paths: Annotated[list[str], typer.Argument(help="Cassettes, segments, folders, or FILE#REQUEST_ID.")],
    collect: Annotated[bool, typer.Option(help="Serve on past the first divergence of a run.")] = False,
    agent: Annotated[str | None, typer.Option(help="Run this agent's code: module:factory.")] = None,
    json: Json = False,
) -> int:
    """Run recorded runs through the real orchestrator again and say whether they are the same."""
    from harness.cli.commands.replay import replay_targets

    return replay_targets(paths, collect=collect, agent=agent, as_json=json)


def show(
    target: Annotated[
        str, typer.Argument(help="A cassette, a trace, a folder, FILE#REQUEST_ID, or a request id.")
    ],
    root: Annotated[str, typer.Option(help="Folder or object store to look a request id up in.")] = ".",
    json: Json = False,
) -> int:
    """Print a run as a readable timeline."""
    from harness.cli.commands.show import timeline
    from harness.cli.targets import load_traces, named_target
    from runtime.core.trace import trace_json

    traces = load_traces(named_target(target, root))
    if json:
        emit_json(trace_json(traces[0]) if len(traces) == 1 else {"traces": [trace_json(t) for t in traces]})
        return ExitCode.OK
    for i, trace in enumerate(traces):
        if i:
            say()
        say(timeline(trace))
    return ExitCode.OK


def diff(
    a: Annotated[
        str, typer.Argument(help="A cassette, a trace JSON, SEGMENT#REQUEST_ID, or a deploy label.")
    ],
    b: Annotated[str, typer.Argument(help="The same, to compare with it.")],
    history: Annotated[Path, typer.Option(help="History to look deploy labels up in.")] = Path(
        "reports/history"
    ),
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    stat: Annotated[bool, typer.Option("--stat", help="Print one line of counts.")] = False,
    ignore_order: Annotated[
        bool, typer.Option("--ignore-order", help="Compare lists in arguments and JSON results in any order.")
    ] = False,
) -> int:
    """Compare two runs call by call, or two deploys task by task."""
    from harness.cli.targets import deploy_diff, is_deploy, load_trace

    if is_deploy(a, history) and is_deploy(b, history):
        if ignore_order:
            raise UsageError(
                "--ignore-order compares two runs, and both are deploy labels",
                where="goldrun diff",
                next_step="name a cassette or a trace of each",
            )
        return deploy_diff(a, b, history, as_json=json)
    from harness.diff import diff_json, diff_traces, render_markdown, render_stat, render_text

    found = diff_traces(load_trace(a), load_trace(b), ignore_order=ignore_order)
    if json:
        emit_json(diff_json(found))
    elif markdown:
        say(render_markdown(found))
    elif stat:
        say(render_stat(found))
    else:
        say(render_text(found, color=wants_colour()))
    match found.verdict:
        case "same":
            return ExitCode.OK
        case "not_comparable":
            return ExitCode.DATA
        case _:
            return ExitCode.CHECK_FAILED


def lift(
    paths: Annotated[list[Path], typer.Argument(help="Recordings of HTTP traffic: files, folders, globs.")],
    dialect: Annotated[
        str | None,
        typer.Option(help="Dialect of bodies whose URL does not tell it, like openai-chat or gemini."),
    ] = None,
    json: Json = False,
) -> int:
    """Lift recorded HTTP traffic into exchanges and traces."""
    from harness.cli.commands.lift import lift_targets

    return lift_targets(paths, dialect=dialect, as_json=json)
