"""Commands recorded from outside: a subprocess whose Python code is recorded or replayed without a change.

The child gets its settings in the environment. A `sitecustomize` that applies them is in a folder that comes first on
`PYTHONPATH`. Its own Python children inherit both; each process that talks HTTP writes a file of its own.
An interpreter that ignores the environment (`python -I`, `-E`, `-S`) is not recorded.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.wire.run_identity import RunIdentity
from harness.wire.session import HttpSession
from runtime.errors import ExitCode, GoldrunError, UsageError

_PATH, _MODE, _REDACT, _PACE = (
    "GOLDRUN_HTTP_RECORDING",
    "GOLDRUN_HTTP_MODE",
    "GOLDRUN_HTTP_REDACT",
    "GOLDRUN_HTTP_PACE",
)
_BOOTSTRAP = Path(__file__).resolve().parent / "bootstrap"


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """How a command went.

    Attributes:
        exit_code: Its exit code; 128 plus the signal that ended it.
        files: Recordings written, one for each process that talked HTTP.
    """

    exit_code: int
    files: tuple[Path, ...]


def run_command(
    command: Sequence[str],
    path: Path,
    *,
    mode: Literal["record", "replay"] = "record",
    redact: bool = True,
    pace: float = 0.0,
    identity: RunIdentity | None = None,
) -> CommandRun:
    """Run a command with its HTTP traffic recorded, or answered from a recording.

    Args:
        command: Program and arguments; it gets this process's terminal.
        path: The recording; further processes write `<name>-2` and so on.
        mode: `record` writes new files; `replay` answers from them, and a miss makes the exit code 1.
        redact: Remove secrets before anything is written.
        pace: Share of the recorded waiting that a replay waits too.
        identity: What the run is called.

    Raises:
        UsageError: If there is no such program, or a recording is there already.
    """
    program = shutil.which(command[0]) if command else None
    if program is None:
        raise UsageError(f"there is no program {command[0] if command else ''!r}", where="goldrun record")
    if mode == "record" and path.exists():
        raise UsageError(
            "the recording is there already", where=str(path), next_step="choose another name, or move it"
        )
    before = set(_siblings(path))
    environment = child_environment(os.environ, path, mode=mode, redact=redact, pace=pace)
    environment.update((identity or RunIdentity()).variables())
    with subprocess.Popen([program, *command[1:]], env=environment) as child, _signals_passed(child):
        code = _wait(child)
    written = () if mode == "replay" else tuple(p for p in _siblings(path) if p not in before)
    return CommandRun(exit_code=code if code >= 0 else 128 - code, files=written)


def child_environment(
    environment: Mapping[str, str], path: Path, *, mode: str, redact: bool, pace: float
) -> dict[str, str]:
    """Return an environment in which Python processes record or replay."""
    search = [str(_BOOTSTRAP), *filter(None, [environment.get("PYTHONPATH")])]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(search),
        _PATH: str(path.resolve()),
        _MODE: mode,
        _REDACT: str(int(redact)),
        _PACE: str(pace),
    }


def start_here() -> None:
    """Follow the orders of the environment in this process; called before its own code runs.

    A recording that cannot be read or written ends the process with the exit code of the error.
    """
    mode: Any = os.environ.get(_MODE, "record")
    session = HttpSession(
        os.environ[_PATH],
        mode=mode,
        redact=os.environ.get(_REDACT) != "0",
        pace=float(os.environ.get(_PACE) or 0.0),
        siblings=True,
    )
    try:
        session.__enter__()
    except GoldrunError as error:
        _leave(error)
    atexit.register(_end, session)


def _end(session: HttpSession) -> None:
    try:
        session.__exit__(None, None, None)
    except GoldrunError as error:
        _leave(error)


def _leave(error: GoldrunError) -> None:
    """End the process with an error's code; at exit there is no other way to set it."""
    sys.stderr.write(f"goldrun: {type(error).__name__}: {error}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(int(error.exit_code) or int(ExitCode.BUG))


def _siblings(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path
    numbered = [p for p in path.parent.glob(f"{path.stem}-*{path.suffix}") if _number(path, p) is not None]
    yield from sorted(numbered, key=lambda p: _number(path, p) or 0)


def _number(path: Path, other: Path) -> int | None:
    text = other.stem.removeprefix(f"{path.stem}-")
    return int(text) if text.isdecimal() else None


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent the signal to the child too; it decides


@contextmanager
def _signals_passed(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand the stop signal of containers on to the child."""
    try:
        before = signal.signal(signal.SIGTERM, lambda number, _frame: child.send_signal(number))
    except ValueError:  # not the main thread: signals are someone else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
