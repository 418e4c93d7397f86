"""`goldrun`: the commands, and the one place where errors become exit codes.

A command's file is imported when the user names the command, so `goldrun --help` imports none and stays fast.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, ClassVar

import typer

from harness.cli.lazy_group import LazyGroup, Verb
from runtime.errors import ExitCode, GoldrunError


class Commands(LazyGroup):
    """The commands, in the order of the help."""

    verbs: ClassVar[tuple[Verb, ...]] = (
        Verb(
            "demo",
            "demo:demo",
            "Show the whole loop on a support agent: record, golden suite, two bad deploys, diff, cost report.",
        ),
        Verb("test", "test:run_tests", "Run golden tasks."),
        Verb(
            "migrate",
            "migrate:migrate",
            "Rewrite old names in golden tasks and policy files; nothing else in them changes.",
        ),
        Verb(
            "record",
            "record:app",
            "Record golden tasks, or `-- COMMAND` with its HTTP traffic, or the traffic of a `--proxy`.",
        ),
        Verb(
            "replay",
            "replay:replay",
            "Run recordings through the real orchestrator again, and say whether the runs are the same.",
        ),
        Verb("show", "show:show", "Print a run as a readable timeline."),
        Verb("diff", "diff:diff", "Compare two runs call by call, or two deploys task by task."),
        Verb("lift", "lift:lift", "Lift recorded HTTP traffic into exchanges and traces."),
        Verb(
            "import",
            "import_:import_runs",
            "Turn foreign run logs into cassettes that replay without agent code.",
        ),
        Verb(
            "ingest",
            "ingest:ingest",
            "Add recorded runs to the history under a deploy label; adding twice changes nothing.",
        ),
        Verb("report", "report:report", "Compare two deploys: what changed, is it worse, and why."),
        Verb("history", "history:app", "List, inspect, remove, rename, compact and rebuild the history."),
        Verb(
            "recover",
            "recover:recover",
            "Seal the journals of dead processes; runs without an end become `crashed`.",
        ),
        Verb(
            "verify",
            "verify:verify",
            "Check that recordings are intact and complete: exit 0 if both, 1 if incomplete, 3 if damaged.",
        ),
        Verb("find", "find:find", "Find a run by its request id over a folder or an object store."),
        Verb(
            "resume",
            "resume:resume",
            "Finish a crashed run, once; completed calls are not repeated.",
        ),
        Verb(
            "promote",
            "promote:promote",
            "Make a golden task, its cassette and its baseline from a production run.",
        ),
        Verb(
            "redact-check",
            "redact_check:redact_check",
            "Search written files for secrets; findings name rule, file and record, never the secret.",
        ),
        Verb("ops", "ops:app", "Act on a control store: switches, approvals, claims, caps, breakers, runs."),
    )


app: typer.Typer = typer.Typer(
    name="goldrun",
    cls=Commands,
    help="Record, replay, test and compare runs of tool-calling LLM agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"goldrun {version('goldrun')}")
        raise typer.Exit(ExitCode.OK)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Record, replay, test and compare runs of tool-calling LLM agents."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: errors become codes here and nowhere else."""
    try:
        result = app(arguments, standalone_mode=False, prog_name="goldrun")
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        return ExitCode.USAGE
    except GoldrunError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return int(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away, for example `goldrun show | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        # Typer vendors click and exports no base class of its usage errors, so they are recognised by `show`.
        show = getattr(error, "show", None)
        if callable(show) and hasattr(error, "exit_code"):
            show()
            return ExitCode.USAGE
        if os.environ.get("GOLDRUN_DEBUG"):
            raise
        sys.stderr.write(
            f"internal error: {type(error).__name__}: {error}\n"
            "  next: this is a bug of goldrun; run again with GOLDRUN_DEBUG=1 for the traceback and report it\n"
        )
        return ExitCode.BUG
    return int(result) if isinstance(result, int) else ExitCode.OK


if __name__ == "__main__":
    main()
