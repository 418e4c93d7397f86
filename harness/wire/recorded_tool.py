"""`@recorded_tool`: a function of an HTTP agent whose results are recorded, and answered in replay instead of running.

A call is an exchange like any other: method `CALL`, address `tool://<name>`, the arguments as JSON. So it is redacted,
matched and kept as HTTP traffic is. Outside a recording the function just runs.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from harness.wire.exchange import HttpAnswer, HttpError, SentRequest
from harness.wire.routing import Exchanging, current, is_served, unserved
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
        UsageError: If the function is a generator; when called: if arguments or result are no JSON values.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{function.__qualname__!r} is a generator",
            where="recorded_tool",
            next_step="return a list instead",
        )
    name = function.__name__
    signature = inspect.signature(function)

    def sent(args: tuple[Any, ...], kwargs: dict[str, Any]) -> SentRequest:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return SentRequest(
            stack=STACK,
            method="CALL",
            url=f"{SCHEME}{name}",
            headers=(("content-type", "application/json"),),
            body=_json(bound.arguments, f"arguments of {name}"),
        )

    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            channel = current()
            taken = None if channel is None else channel.take(sent(args, kwargs))
            if taken is None:
                return await function(*args, **kwargs)
            if is_served(taken):
                return _result(taken.answer)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                unserved(taken).fail(error)
                raise
            return _kept(unserved(taken), result, name)

        return functools.wraps(function)(call_async)  # type: ignore[return-value]  # same signature

    def call(*args: Any, **kwargs: Any) -> Any:
        channel = current()
        taken = None if channel is None else channel.take(sent(args, kwargs))
        if taken is None:
            return function(*args, **kwargs)
        if is_served(taken):
            return _result(taken.answer)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            unserved(taken).fail(error)
            raise
        return _kept(unserved(taken), result, name)

    return functools.wraps(function)(call)  # type: ignore[return-value]  # same signature


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
