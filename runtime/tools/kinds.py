"""Where a tool's function runs: on the event loop, in a thread of its own, or in a process that can be killed.

A thread cannot be stopped: its call is abandoned at its time limit and told to `late` when it ends after all. Each
call has a daemon thread of its own, so abandoned ones neither starve others nor hold the process. A process is
killed at its time limit; its function must be importable by name, and arguments and result cross as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

from runtime.core.canonical import said
from runtime.errors import UsageFault

Kind = Literal["async", "thread", "process"]
Late = Callable[[Any, BaseException | None], None]
"""Told the result or the exception of a thread whose call was given up."""

_WORKER = "runtime.tools.worker"


async def in_thread(function: Callable[..., Any], arguments: dict[str, Any], late: Late | None = None) -> Any:
    """Return what a function gives, run in a thread of its own.

    Args:
        function: What to run.
        arguments: Its keyword arguments.
        late: Told the outcome if nobody waits for it any more.
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

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = function(**arguments)
        except BaseException as caught:  # noqa: BLE001 - carried over to the caller's side of the thread
            error = _portable(caught)
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            # The loop is closed: the run is long over.
            if late is not None:
                late(result, error)

    threading.Thread(target=work, name=f"goldrun-tool-{function.__name__}", daemon=True).start()
    return await future


def _portable(error: BaseException) -> BaseException:
    """Return an exception as a future can hold it: thrown into a task, these mean something else."""
    if isinstance(error, StopIteration | GeneratorExit | KeyboardInterrupt):
        return RuntimeError(f"the tool raised {type(error).__name__}: {said(error)}")
    return error


async def in_process(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return what a function gives, run in a process that is killed if the caller is cancelled.

    Raises:
        UsageFault: If the function cannot be imported by name.
        ProcessToolError: If the function raised or the process died.
    """
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name:
        raise UsageFault(
            f"the process tool {name!r} cannot be imported by name",
            next_step="define it at the top of a module, or use kind='thread'",
        )
    job = json.dumps({"module": module, "name": name, "arguments": arguments, "path": sys.path})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=None,
    )
    try:
        out, err = await process.communicate(job.encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        tail = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise ProcessToolError(f"the process of {name} ended with {process.returncode}: {tail[0]}")
    answer = json.loads(out)
    if answer["error"] is not None:
        raise ProcessToolError(answer["error"], retryable=answer["retryable"], domain=answer["domain"])
    return answer["result"]


class ProcessToolError(Exception):
    """What a function raised in its process.

    Attributes:
        retryable: Whether the call may be repeated.
        domain: Whether it is an error of the tool's own domain, which the model is told.
    """

    def __init__(self, message: str, *, retryable: bool = False, domain: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.domain = domain
