"""`goldrun`: the commands and the one place where errors become exit codes.

Command modules import what they need inside their functions, so `goldrun --help` stays quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from harness.cli import golden_commands, ops_files_commands
from harness.cli.commands import diff, import_, record, redact_check, report
from harness.cli.commands.ops import runs
from runtime.errors import ExitCode, GoldrunError

app = typer.Typer(
    name="goldrun",
    help="Record, replay, test and compare runs of tool-calling LLM agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    golden_commands,
    record,
    diff,
    import_,
    report,
    ops_files_commands,
    redact_check,
    runs,
):
    module.register(app)


def _print_version(asked: bool) -> None:
    if asked:
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
    """Run one command and return its exit code; the edge where errors become codes."""
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
