"""What `record_http` does with a function it decorates, and with the name of a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from harness.wire.http_recording import SUFFIX
from runtime.errors import UsageError


def session_around(
    session: Callable[[], AbstractContextManager[object]], function: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function with a session of its own around each call.

    Raises:
        UsageError: If it is a generator.
    """
    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with session():
                return await function(*args, **kwargs)

        return call_async
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{function.__qualname__!r} is a generator: the context it runs in changes with its consumer",
            where="record_http",
            next_step="use `with record_http(...)` around the loop that consumes it",
        )

    def call(*args: Any, **kwargs: Any) -> Any:
        with session():
            return function(*args, **kwargs)

    return call


def recording_file(path: Path) -> Path:
    """Return the file of a recording; without a suffix it is a journal.

    Raises:
        UsageError: If the form is not written here.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        raise UsageError(
            "vcrpy's YAML is not recorded to",
            where=str(path),
            next_step=f"record to a {SUFFIX} file; `harness.export_vcr` writes YAML from it",
        )
    return path if path.suffix else path.with_suffix(SUFFIX)
