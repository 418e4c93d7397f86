"""Where a tool's function runs: on the event loop, in a thread of its own, or in a process that can be killed.

A thread cannot be stopped: its call is abandoned at its timeout, and `late` is called when it ends after all. Each
call has a daemon thread of its own, so abandoned ones neither starve others nor hold the process; how many run at
once, `runtime.execution.thread_slots` says. A process is killed at its time limit with all that it started; its
function must be importable by name. Arguments cross as the model gave them and are validated again there, the result
as the text that the model sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from tempfile import TemporaryFile
from typing import IO, Any, Literal

import msgspec

from runtime.core.canonical import said
from runtime.core.effects import Failure, FailureKind
from runtime.errors import UsageError
from runtime.ports.tools import IN_TOOL_THREAD, TOOL_THREAD

Kind = Literal["async", "thread", "process"]
Late = Callable[[Any, BaseException | None], None]
"""Called with the result or the exception of an abandoned thread."""

_WORKER = "runtime.tools.worker"
_ERROR_BYTES = 4_096
"""How much of the end of a process's error output is looked at."""


async def in_thread(function: Callable[..., Any], arguments: dict[str, Any], late: Late | None = None) -> Any:
    """Return what a function gives, run in a thread of its own.

    Args:
        function: What to run.
        arguments: Its keyword arguments.
        late: Called with the outcome of an abandoned call.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            if late is not None:
                late(result, error)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    context = Context()
    context.run(IN_TOOL_THREAD.set, True)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function, **arguments)
        except BaseException as caught:  # noqa: BLE001 - carried over to the caller's side of the thread
            error = _portable(caught)
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            # The loop is closed: the run is long over.
            if late is not None:
                late(result, error)

    threading.Thread(target=work, name=TOOL_THREAD + function.__name__, daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError as cancelled:
        if future.done() and not future.cancelled():
            error = future.exception()
            # Abandoned in the very turn in which the thread ended: its result would be lost without this call.
            if late is not None and error is not cancelled:
                late(None if error is not None else future.result(), error)
        raise


def _portable(error: BaseException) -> BaseException:
    """Return an exception as a future can hold it: thrown into a task, these mean something else."""
    if isinstance(error, StopIteration | GeneratorExit | KeyboardInterrupt):
        return RuntimeError(f"the tool raised {type(error).__name__}: {said(error)}")
    return error


async def in_process(function: Callable[..., Any], given: bytes, rename: dict[str, str]) -> str:
    """Return the text of what a function gives, run in a process of its own.

    The process leads a group, and nothing of the group is left when this returns or is cancelled. Job and answer
    are files and not pipes: a pipe would be held open by whatever the function started and left behind.

    Args:
        function: What to run.
        given: Its arguments as the model gave them, in JSON; validated again in the process.
        rename: Names in the schema, by parameter.

    Raises:
        UsageError: If the function cannot be imported by name.
        ProcessToolError: If the function raised, or the process ended without an answer.
    """
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name:
        raise UsageError(
            f"the process tool {name!r} cannot be imported by name",
            next_step="define it at the top of a module, or use kind='thread'",
        )
    about = {"module": module, "name": name, "given": given.decode(), "rename": rename, "path": sys.path}
    with TemporaryFile() as job, TemporaryFile() as answer, TemporaryFile() as errors:
        job.write(json.dumps(about).encode())
        job.seek(0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _WORKER, stdin=job, stdout=answer, stderr=errors, start_new_session=True
        )
        try:
            await process.wait()
        finally:
            _end_group(process)
            await process.wait()
        return _read_answer(name, process.returncode, _tail(answer, None), _tail(errors, _ERROR_BYTES))


def _end_group(process: asyncio.subprocess.Process) -> None:
    """Kill a process and all that it started, unless that made groups of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _tail(file: IO[bytes], most: int | None) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(0 if most is None else max(size - most, 0))
    return file.read()


def _read_answer(name: str, code: int | None, answer: bytes, errors: bytes) -> str:
    try:
        found = json.loads(answer)
    except ValueError:
        tail = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        message = f"the process of {name} ended with {code} and without an answer: {tail[0]}"
        lost = Failure(
            kind=FailureKind.ERROR, message=message, phase="lost", retryable=True, error_type="lost"
        )
        raise ProcessToolError(message, failure=lost) from None
    if found["failure"] is not None:
        failure = msgspec.convert(found["failure"], Failure)
        raise ProcessToolError(failure.message, failure=failure)
    if found["error"] is not None:
        raise ProcessToolError(found["error"])
    text: str = found["text"]
    return text


class ProcessToolError(Exception):
    """What a function raised in its process.

    Attributes:
        failure: What it means for the call; `None` for an error of the tool's own domain, which the model gets as text.
    """

    def __init__(self, message: str, *, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure
