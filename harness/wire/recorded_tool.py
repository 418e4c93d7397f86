"""`@recorded_tool`: a function of an HTTP agent whose results are recorded, and answered in replay instead of running.

A call is an exchange like any other: method `CALL`, address `tool://<name>`, the arguments as JSON. So it is redacted,
matched and kept as HTTP traffic is. Outside a recording the function just runs.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson

from harness.wire.exchange import HttpAnswer, HttpError, SentRequest
from harness.wire.routing import Exchanging, Served, current, is_served, unserved
from runtime.core.checking import shown
from runtime.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
STACK = "tool"
SCHEME = "tool://"


class RecordedToolError(Exception):
    """What a recorded tool raised, where its class is none of Python's own."""


def recorded_tool(function: F) -> F:
    """Return the function, its calls recorded by the session of the context and answered by its replay.

    Arguments and results must be JSON values. What the function raises is recorded too: a replay raises the same class
    where it is one of Python's own, else `RecordedToolError`.

    Raises:
        UsageError: If it is no function, or a generator; when called: if arguments or result are no JSON values.
    """
    if not callable(getattr(function, "__get__", None)) or not hasattr(function, "__qualname__"):
        raise UsageError(
            f"{shown(function)} is not a function", where="recorded_tool", next_step="write it above a `def`"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{function.__qualname__!r} is a generator",
            where="recorded_tool",
            next_step="return a list instead",
        )
    return _named(function, _Calls(function))


def _named(function: F, made: _Calls) -> F:
    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return await made.call_async(*args, **kwargs)

        return functools.wraps(function)(call_async)  # type: ignore[return-value]  # same signature

    def call(*args: Any, **kwargs: Any) -> Any:
        return made.call(*args, **kwargs)

    return functools.wraps(function)(call)  # type: ignore[return-value]  # same signature


class _Calls:
    """The calls of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name = function.__name__
        self._signature = inspect.signature(function)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        taken = self._take(args, kwargs)
        if taken is None:
            return self._function(*args, **kwargs)
        if is_served(taken):
            return _result(taken.answer)
        with _failing(unserved(taken)):
            result = self._function(*args, **kwargs)
        return _kept(unserved(taken), result, self._name)

    async def call_async(self, *args: Any, **kwargs: Any) -> Any:
        taken = self._take(args, kwargs)
        if taken is None:
            return await self._function(*args, **kwargs)
        if is_served(taken):
            return _result(taken.answer)
        with _failing(unserved(taken)):
            result = await self._function(*args, **kwargs)
        return _kept(unserved(taken), result, self._name)

    def _take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchanging | Served | None:
        channel = current()
        if channel is None:
            return None
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        sent = SentRequest(
            stack=STACK,
            method="CALL",
            url=f"{SCHEME}{self._name}",
            headers=(("content-type", "application/json"),),
            body=_json(bound.arguments, f"arguments of {self._name}"),
        )
        return channel.take(sent)


@contextmanager
def _failing(exchange: Exchanging) -> Iterator[None]:
    """Record what is raised in the block."""
    try:
        yield
    except BaseException as error:
        exchange.fail(error)
        raise


def _kept(exchange: Exchanging, result: Any, name: str) -> Any:
    """Record a result and return it as a replay will: as what its JSON holds."""
    try:
        body = _json(result, f"result of {name}")
    except UsageError as error:
        exchange.fail(error)
        raise
    exchange.head(200, "OK", [("content-type", "application/json")])
    exchange.chunk(body)
    exchange.done()
    return orjson.loads(body)


def _result(answer: HttpAnswer) -> Any:
    if answer.error is not None:
        found = getattr(builtins, answer.error.type, None)
        is_own = isinstance(found, type) and issubclass(found, Exception)
        made: type[Exception] = found if is_own else RecordedToolError  # type: ignore[assignment]  # checked above
        raise made(_message(answer.error))
    return orjson.loads(answer.content)


def _message(error: HttpError) -> str:
    """Return what an exception was made with; a `KeyError` tells its key in quotes."""
    text = error.message
    is_quoted = error.type == "KeyError" and len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _json(value: Any, what: str) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise UsageError(
            f"the {what} are no JSON: {error}"
            if what.startswith("arg")
            else f"the {what} is no JSON: {error}",
            where="recorded_tool",
            next_step="give and return texts, numbers, lists and dictionaries",
        ) from error
