"""`@tool`: a typed function becomes a tool with strict pydantic arguments."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from runtime.core.canonical import canonical_bytes, said
from runtime.core.effects import ToolResult
from runtime.core.messages import ToolSchema
from runtime.core.money import usd_to_nanos
from runtime.core.run import ToolDecl
from runtime.errors import UsageError
from runtime.orchestrator.setup import Checked, ToolSpec
from runtime.ports.tools import Reconcile, ToolContext
from runtime.tools.arguments import (
    ArgumentsModel,
    arguments_model,
    given_of,
    keep_given,
    keeping,
    parameters_of,
)
from runtime.tools.filled import filled_model
from runtime.tools.results import MIN_LIMIT_BYTES, text_of
from runtime.tools.schema_check import problem_lines
from runtime.tools.tool_kinds import Kind, Late, ProcessToolError, in_process, in_thread

if TYPE_CHECKING:
    from pydantic import BaseModel


class ToolError(Exception):
    """Raised by a tool for an error of its own domain: the model sees the text, nothing is repeated."""


class RetryableError(Exception):
    """Raised by a tool for a passing fault of what it calls: the call may be repeated.

    Attributes:
        after_s: Seconds the other side asks to wait.
    """

    retryable = True

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Tool:
    """A tool: its declaration, the check of its arguments, and the function behind it."""

    def __init__(
        self,
        function: Callable[..., Any],
        decl: ToolDecl,
        arguments: type[ArgumentsModel],
        *,
        kind: Kind,
        reconcile: Reconcile | None,
    ) -> None:
        self.function = function
        self.decl = decl
        model: Any = arguments
        self._arguments: Any = keeping(model) if kind == "process" else model
        self.kind = kind
        self.reconcile = reconcile
        self.can_be_abandoned: bool = kind == "thread"
        self._takes_context = "ctx" in inspect.signature(function).parameters
        self._rename = {name: field.alias for name, field in model.model_fields.items() if field.alias}
        self._fallback: Any = None

    @property
    def name(self) -> str:
        """The exact name, as policies and models use it."""
        return self.decl.schema.name

    @property
    def spec(self) -> ToolSpec:
        """The tool as the flow knows it."""
        return ToolSpec(decl=self.decl, validate=self.validate)

    def validate(self, arguments: Any) -> Checked:
        """Return the bound arguments, or the problems in our own words."""
        from pydantic import ValidationError

        if not isinstance(arguments, dict):
            return Checked(problems=("arguments: expected a JSON object",))
        try:
            given = canonical_bytes(arguments)
            value = self._arguments.model_validate_json(given, strict=True)
        except ValidationError as error:
            return Checked(problems=self._problems(arguments, error))
        if self.kind == "process":
            keep_given(value, given)
        filled = filled_model(arguments, value)
        return Checked(value=value, filled=None if filled is arguments else filled)

    def _problems(self, arguments: dict[str, Any], error: Any) -> tuple[str, ...]:
        """Say it in the words of the JSON Schema; what only pydantic sees keeps pydantic's."""
        import jsonschema_rs

        if self._fallback is None:
            self._fallback = jsonschema_rs.validator_for(self.decl.schema.parameters)
        lines = problem_lines(self._fallback.iter_errors(arguments))
        if lines:
            return lines
        return tuple(
            f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False, include_context=False)
        )

    async def call(self, bound: Any, context: ToolContext) -> ToolResult:
        """Run the function where its kind says."""
        arguments = {name: getattr(bound, name) for name in type(bound).model_fields}
        if self._takes_context:
            arguments["ctx"] = context
        result: Any = None
        try:
            match self.kind:
                case "async":
                    result = await self.function(**arguments)
                case "thread":
                    result = await in_thread(self.function, arguments, _late(context))
                case "process":
                    result = await in_process(self.function, given_of(bound), self._rename)
        except (ToolError, ProcessToolError) as error:
            if isinstance(error, ProcessToolError) and error.failure is not None:
                raise
            text = said(error)
            return ToolResult(content=text, status="error", error=text)
        return ToolResult(content=text_of(result))


def _late(context: ToolContext) -> Late | None:
    """Return the callback for the outcome of an abandoned thread; `None` if nobody listens."""
    if context.on_late is None:
        return None
    report = context.on_late

    def late(result: Any, error: BaseException | None) -> None:
        if error is None:
            report(ToolResult(content=text_of(result)))
        elif isinstance(error, ToolError):
            text = said(error)
            report(ToolResult(content=text, status="error", error=text))
        else:
            report(None)  # unknown whether it happened: a write in doubt stays in doubt

    return late


class ToolOptions(TypedDict, total=False):
    """What can be said of a tool beside its function.

    Attributes:
        name: Exact name; the function's by default.
        kind: Where the function runs; `async` for a coroutine function, else `thread`, by default. A `process`
            is killed at its time limit and takes no `ctx`.
        write: Whether a call has effects outside.
        idempotent: Whether repeating a call is harmless by itself.
        takes_key: Whether the function uses the idempotency key of its context.
        timeout_s: Hard limit of one attempt, in seconds; 30 by default, `None` for none.
        cost_usd: Price of one attempt in dollars; counts against the budget.
        children: Whether the function starts child runs by `ctx.child`.
        dedupe_by: Arguments that make a business key: a call with equal ones gets the first one's result.
        dedupe_scope: Among which calls: `tenant` (the default), or `run` for those of one run and its child runs.
        dedupe_s: Seconds for which the first one's result answers; seven days by default.
        reconcile: Finds out whether a write in doubt happened; without it the run stops in doubt.
        rename: Names in the schema for parameters, by parameter.
        scopes: Scopes that the caller must hold, by exact name, as the policy states them.
        cache_s: Seconds in which an equal call of the same tenant and environment gets the kept result.
        version: Version of the tool, for its cached results; the function's full name by default. Tools that one
            function makes for several settings need versions of their own.
        max_result_bytes: What a model is shown of a result; the agent's limit by default.
    """

    name: str | None
    kind: Kind | None
    write: bool
    idempotent: bool
    takes_key: bool
    timeout_s: float | None
    cost_usd: float | str
    children: bool
    dedupe_by: tuple[str, ...]
    dedupe_scope: Literal["run", "tenant"]
    dedupe_s: float | None
    reconcile: Reconcile | None
    rename: dict[str, str] | None
    scopes: tuple[str, ...]
    cache_s: float | None
    version: str | None
    max_result_bytes: int | None


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a typed function.

    A parameter `ctx` is given the `ToolContext` and is not part of the schema. A function that hands
    `ctx.idempotency_key` to what it writes to says so with `takes_key=True`, which makes repeating it safe.

    Args:
        function: The function, when used as a bare decorator.
        options: See `ToolOptions`.

    Raises:
        UsageError: If a parameter has no type, a reserved name, or no JSON form, or options contradict each other.
    """

    def make(of: Callable[..., Any]) -> Tool:
        _check_options(options)
        model = arguments_model(of, options.get("rename") or {})
        schema = ToolSchema(
            name=options.get("name") or of.__name__,
            description=inspect.cleandoc(of.__doc__ or ""),
            parameters=parameters_of(model, of.__name__),
        )
        declared: dict[str, Any] = {n: v for n, v in options.items() if n not in _NOT_DECLARED}
        if declared.get("cache_s") is not None:  # two functions of one name and schema share no results
            declared["version"] = declared.get("version") or f"{of.__module__}.{of.__qualname__}"
        cost = usd_to_nanos(options.get("cost_usd", 0))
        decl = ToolDecl(schema=schema, cost_nanousd=cost, **declared)
        _check_arguments(decl, model)
        return Tool(of, decl, model, kind=_kind(of, options.get("kind")), reconcile=options.get("reconcile"))

    return make if function is None else make(function)


_NOT_DECLARED = frozenset({"name", "kind", "cost_usd", "reconcile", "rename"})
"""Options that a tool's declaration does not have under their name."""


def _check_options(options: ToolOptions) -> None:
    unknown = sorted(set(options) - ToolOptions.__optional_keys__)
    if unknown:
        raise TypeError(f"tool() got an unexpected keyword argument {unknown[0]!r}")
    cache_s, most = options.get("cache_s"), options.get("max_result_bytes")
    if cache_s is not None and options.get("write"):
        raise UsageError(
            "a tool that writes cannot be cached",
            next_step="use dedupe_by to make an equal write happen once",
        )
    _check_dedupe(options)
    if cache_s is not None and not 0 < cache_s < float("inf"):
        raise UsageError(
            f"{cache_s!r} seconds is no time to keep a result", next_step="use a finite time above 0"
        )
    if most is not None and most < MIN_LIMIT_BYTES:
        raise UsageError(
            f"a result cannot be limited to {most} bytes", next_step=f"allow at least {MIN_LIMIT_BYTES}"
        )


def _check_dedupe(options: ToolOptions) -> None:
    scope, seconds = options.get("dedupe_scope", "tenant"), options.get("dedupe_s")
    if scope not in {"run", "tenant"}:
        raise UsageError(
            f"{scope!r} is no scope of equal calls", next_step="use dedupe_scope='run' or 'tenant'"
        )
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(
            f"{seconds!r} seconds is no time in which calls are equal",
            next_step="use a finite time above 0, or leave dedupe_s out for seven days",
        )
    if not options.get("dedupe_by") and ("dedupe_scope" in options or seconds is not None):
        raise UsageError(
            "dedupe_scope and dedupe_s say nothing without dedupe_by",
            next_step="name the arguments that make two calls one",
        )


def _check_arguments(decl: ToolDecl, model: type[BaseModel]) -> None:
    known = {field.alias or name for name, field in model.model_fields.items()}
    missing = sorted(set(decl.dedupe_by) - known)
    if missing:
        raise UsageError(
            f"dedupe_by of tool {decl.schema.name!r} names {missing[0]!r}, which is no argument of it",
            next_step=f"use one of {', '.join(sorted(known)) or 'no arguments'}",
        )


def _kind(function: Callable[..., Any], chosen: Kind | None) -> Kind:
    is_async = inspect.iscoroutinefunction(function)
    if chosen is None:
        return "async" if is_async else "thread"
    if (chosen == "async") != is_async:
        raise UsageError(
            f"tool {function.__name__!r} is {'a' if is_async else 'no'} coroutine function, its kind is {chosen!r}",
            next_step="use kind='async' for coroutine functions, 'thread' or 'process' for others",
        )
    if chosen == "process" and "ctx" in inspect.signature(function).parameters:
        raise UsageError(
            f"the process tool {function.__name__!r} takes ctx, which cannot cross to its process",
            next_step="take what it needs as arguments, or use kind='thread'",
        )
    return chosen


ToolFunction = Callable[..., Any | Awaitable[Any]]
