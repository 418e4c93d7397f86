"""`goldrun record`: record golden tasks, a command's HTTP traffic, or the traffic of a proxy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from harness.cli.options import Redact
from harness.cli.output import say, warn
from runtime.errors import ExitCode, UsageError

app: typer.Typer = typer.Typer(rich_markup_mode=None, add_completion=False)
_COMMAND = "goldrun.command"
_ALLOW, _EVERY = "--allow-writes", "*"
_FOLDER = Path("cassettes", "http")


class RecordCommand(TyperCommand):
    """Takes the words after `--` as a command to run, not as a list of tasks."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the command off the arguments."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        # The option's value is optional: without one it stands for each tool.
        args = [f"{_ALLOW}={_EVERY}" if arg == _ALLOW else arg for arg in args]
        return super().parse_args(ctx, args)


@app.command(cls=RecordCommand)
def record(
    ctx: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Golden tasks: names like suite/task, patterns like 'suite/*', files or folders."
        ),
    ] = None,
    proxy: Annotated[bool, typer.Option("--proxy", help="Run a recording proxy on loopback.")] = False,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the proxy sends requests: URL, or NAME=URL for paths below /NAME. Repeatable."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the proxy; 0 picks a free one.")] = 0,
    token: Annotated[bool, typer.Option(help="Put a random segment in front of the proxy's paths.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTTP recording; by default a new one in cassettes/http.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Answer HTTP from the recording --out instead of the network.")
    ] = False,
    redact: Redact = True,
    pace: Annotated[
        float, typer.Option(help="Share of the recorded waiting time that --replay waits as well.")
    ] = 0.0,
    script: Annotated[
        str | None,
        typer.Option(help="Tasks: answer model calls by this policy on loopback: module:function."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Tasks: base URL of an OpenAI-compatible endpoint.")
    ] = None,
    api_key_env: Annotated[str, typer.Option(help="Tasks: variable that holds its key.")] = "OPENAI_API_KEY",
    allow_writes: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-writes",
            metavar="[=TOOL]",
            help="Tasks: carry out the writes of this tool, or of each tool if none is named (not in prod). "
            "Other writes are answered from the old cassette. Repeatable.",
        ),
    ] = None,
) -> int:
    """Record golden tasks, or `-- COMMAND` with its HTTP traffic, or the traffic of a `--proxy`."""
    command: list[str] | None = ctx.meta.get(_COMMAND)
    sources = [bool(tasks), command is not None, proxy]
    if sum(sources) != 1:
        raise UsageError(
            "name one thing to record",
            where="goldrun record",
            next_step="`goldrun record TASK...`, `goldrun record -- COMMAND`, "
            "or `goldrun record --proxy --upstream URL`",
        )
    if tasks:
        # Golden tasks need pydantic and the YAML reader. Loaded here, they do not delay a recorded command.
        from harness.cli.record_tasks import record_tasks

        return record_tasks(
            tasks,
            script=script,
            base_url=base_url,
            api_key_env=api_key_env,
            allow_writes=allow_writes or [],
        )
    path = _recording(out, replay=replay)
    if command is not None:
        return record_command(command, path, replay=replay, redact=redact, pace=pace)
    return record_proxy(upstream or [], path, port=port, token=token, replay=replay, redact=redact, pace=pace)


def record_command(
    command: list[str], path: Path, *, replay: bool = False, redact: bool = True, pace: float = 0.0
) -> int:
    """Run a command with its HTTP traffic recorded or replayed; return its exit code."""
    from harness.wire.command import run_command

    path.parent.mkdir(parents=True, exist_ok=True)
    done = run_command(command, path, mode="replay" if replay else "record", redact=redact, pace=pace)
    for file in done.files:
        sys.stderr.write(f"recorded {file}\n")
    if not done.files and not replay:
        warn(
            "no HTTP traffic was recorded: the command made none, or its interpreter ignores PYTHONPATH or is "
            "no Python (then use `goldrun record --proxy`)"
        )
    return done.exit_code


def record_proxy(
    upstreams: list[str],
    path: Path,
    *,
    port: int = 0,
    token: bool = False,
    replay: bool = False,
    redact: bool = True,
    pace: float = 0.0,
) -> int:
    """Run a recording proxy until it is interrupted; return the exit code."""
    from harness.wire.proxy import RecordingProxy
    from harness.wire.session import HttpSession

    targets = dict(_upstream(text) for text in upstreams)
    session = HttpSession(path, mode="replay" if replay else "record", redact=redact, pace=pace)
    with RecordingProxy(session, targets, port=port, token=token) as proxy:
        for name, url in targets.items():
            say(f"{proxy.base_url(name)} -> {url}")
        sys.stdout.flush()
        sys.stderr.write(f"{'replaying' if replay else 'recording to'} {session.path}; stop with Ctrl-C\n")
        _until_stopped()
    sys.stderr.write(f"{session.count} requests\n")
    return ExitCode.OK


def _until_stopped() -> None:
    """Wait for Ctrl-C or the stop signal of containers."""
    import signal
    import threading

    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    try:
        stopped.wait()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def _upstream(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    return (name, url) if equals and "/" not in name and ":" not in name else ("", text)


def _recording(out: Path | None, *, replay: bool) -> Path:
    if out is not None:
        return out if out.suffix else out.with_suffix(".jsonl")
    if replay:
        raise UsageError("--replay needs the recording", next_step="name it with --out FILE")
    names = (_FOLDER / f"recording-{number}.jsonl" for number in range(1, 100_000))
    return next(path for path in names if not path.exists())
