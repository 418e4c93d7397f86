"""Pydantic models of a golden task's section `expect`; unknown fields are refused."""

from __future__ import annotations

import difflib
import fnmatch
from typing import Annotated, Any, ClassVar, Literal, LiteralString

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from harness.golden.rules.matcher_problems import check_expectation, regex_problem
from harness.golden.rules.matchers import exact_args
from harness.golden.rules.output_schema import keyword_problems
from harness.golden.rules.pairing import Mode
from runtime.core.effects import CallStatus
from runtime.core.stop import SUBJECT_KINDS, StopKind


class Model(BaseModel):
    """Base of a task file's models: frozen, and unknown fields are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


Whole = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Strict(), Field(min_length=1)]


def listed(value: Any) -> Any:
    """Return a single string as a list of one, so that a file may hold either."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(listed, json_schema_input_type=str | tuple[Text, ...]),
    Field(min_length=1),
]


def _problem(kind: LiteralString, text: str, path: tuple[str | int, ...] = ()) -> PydanticCustomError:
    # The text is passed as context, because pydantic would read braces in a message template as fields.
    return PydanticCustomError(kind, "{text}", {"text": text, "path": list(path)})


def _check_matchers(value: Any) -> Any:
    for problem in check_expectation(value):
        raise _problem("matcher", str(problem), problem.path)
    return value


def _check_args(value: dict[str, Any]) -> dict[str, Any]:
    # The keys at the top are names of arguments, so an argument called `regex` is not a matcher.
    exact = exact_args(value)
    place: tuple[str | int, ...] = () if exact is None else ("exact",)
    if not value:
        raise _problem(
            "empty", "no argument is named; name some, write {exact: {}} for none, or leave args out"
        )
    for name, expected in (value if exact is None else exact).items():
        for problem in check_expectation(expected, (*place, name)):
            raise _problem("matcher", str(problem), problem.path)
    return value


Args = Annotated[dict[str, Any], AfterValidator(_check_args)]


def _check_regexes(value: tuple[str, ...]) -> tuple[str, ...]:
    for index, pattern in enumerate(value):
        if (problem := regex_problem(pattern)) is not None:
            raise _problem("regex", problem, (index,))
    return value


def _check_schema(value: dict[str, Any]) -> dict[str, Any]:
    for path, problem in keyword_problems(value):
        raise _problem("schema", problem, path)
    return value


class Range(Model):
    """An inclusive range for a count; a plain number means exactly that many."""

    min: Whole | None = None
    max: Whole | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise _problem("range", "no bound is given; write a number, or {min: n}, {max: n} or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise _problem("range", f"no number is between min {self.min} and max {self.max}")
        return self

    def holds(self, value: int) -> bool:
        """Return whether a count is within the range."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.min == self.max:
            return f"exactly {self.min}"
        if self.min is None:
            return f"at most {self.max}"
        return f"at least {self.min}" if self.max is None else f"{self.min} to {self.max}"


def _range(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return {"min": value, "max": value}


def _bounding(value: Range) -> Range:
    if value.max is None and value.min == 0:
        raise _problem("range", "min: 0 holds for every run; write a higher min, a max, or leave it out")
    return value


Count = Annotated[
    Range, BeforeValidator(_range, json_schema_input_type=int | Range), AfterValidator(_bounding)
]


def _times(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2:
        return {"min": value[0], "max": value[1]}
    return _range(value)


TimesRange = Annotated[
    Range,
    BeforeValidator(
        _times, json_schema_input_type=int | Annotated[list[int], Field(min_length=2, max_length=2)]
    ),
]


class CallSpec(Model):
    """A specification of calls to one tool; a plain name means any call to it.

    Attributes:
        tool: Exact tool name.
        args: Expected arguments; arguments that are not named may have any value.
        status: Accepted statuses of the call; any if not given.
    """

    tool: Text
    args: Args | None = None
    status: Annotated[
        tuple[CallStatus, ...] | None,
        BeforeValidator(listed, json_schema_input_type=CallStatus | tuple[CallStatus, ...] | None),
    ] = None


class OnceSpec(CallSpec):
    """Calls whose effect may happen once.

    Attributes:
        by: Arguments that say which calls are the same. Without it these are the tool's `dedupe_by`; without that
            all calls of a write tool are the same, and calls of another tool are if their arguments are equal.
    """

    by: Texts | None = None


class ExpectedCall(CallSpec):
    """One expected call of `tools`; `times` is a number or [min, max]."""

    times: TimesRange | None = None


def _named(value: Any) -> Any:
    return {"tool": value} if isinstance(value, str) else value


Spec = Annotated[CallSpec, BeforeValidator(_named, json_schema_input_type=str | CallSpec)]
Expected = Annotated[ExpectedCall, BeforeValidator(_named, json_schema_input_type=str | ExpectedCall)]
Once = Annotated[OnceSpec, BeforeValidator(_named, json_schema_input_type=str | OnceSpec)]
Specs = Annotated[tuple[Spec, ...], Field(min_length=1)]
Onces = Annotated[tuple[Once, ...], Field(min_length=1)]


class Tools(Model):
    """The calls that a run makes, in one of five modes."""

    mode: Mode
    calls: tuple[Expected, ...]

    @model_validator(mode="after")
    def _can_fail(self) -> Tools:
        if not self.calls and self.mode in {"in_order", "superset"}:
            raise _problem(
                "empty", f"mode {self.mode} without calls can never fail; use exact for no calls at all"
            )
        if self.mode in {"in_order", "superset"}:
            for index, call in enumerate(self.calls):
                if call.times is not None and not call.times.min and call.times.max is None:
                    text = (
                        f"min: 0 asks for nothing in mode {self.mode}; leave the call out, or give it a max"
                    )
                    raise _problem("range", text, ("calls", index, "times"))
        return self


def _stated(model: Model, what: str) -> None:
    """Refuse a section in which nothing is stated.

    Raises:
        PydanticCustomError: If no field is given, or none with a value.
    """
    if all(getattr(model, name) in (None, {}) for name in type(model).model_fields):
        raise _problem(
            "empty", f"{what}; state some of {', '.join(type(model).model_fields)}, or leave it out"
        )


class Counts(Model):
    """Expected counts; a plain number means exactly that many."""

    tool_calls: Count | None = None
    tool_executions: Count | None = None
    model_calls: Count | None = None
    steps: Count | None = None
    retries: Count | None = None
    denials: Count | None = None
    approvals: Count | None = None
    errors: Count | None = None
    loops: Count | None = None
    in_doubt: Count | None = None
    by_tool: dict[str, Count] = {}
    by_status: dict[CallStatus, Count] = {}

    @model_validator(mode="after")
    def _some(self) -> Counts:
        _stated(self, "nothing is counted")
        return self


class VsBaseline(Model):
    """Cost relative to the baseline: fails above the ratio, unless the difference is below a minimum."""

    max_ratio: Annotated[Number, Field(gt=0)]
    min_delta_usd: Number = 0.0


class Cost(Model):
    """The most that a run may cost, in dollars. An unknown price fails."""

    max_usd: Number | None = None
    vs_baseline: VsBaseline | None = None

    @model_validator(mode="after")
    def _stated(self) -> Cost:
        if self.max_usd is None and self.vs_baseline is None:
            raise _problem("empty", "no limit is given; write max_usd, vs_baseline or both")
        return self


class Tokens(Model):
    """Token counts that a run may have. Unknown usage fails."""

    input: Count | None = None
    output: Count | None = None
    total: Count | None = None

    @model_validator(mode="after")
    def _some(self) -> Tokens:
        _stated(self, "no number of tokens is bounded")
        return self


class Output(Model):
    """Expectations on the run's final text."""

    contains: Texts | None = None
    not_contains: Texts | None = None
    regex: Annotated[Texts, AfterValidator(_check_regexes)] | None = None
    equals: Annotated[Any, AfterValidator(_check_matchers)] = None
    json_schema: Annotated[dict[str, Any], AfterValidator(_check_schema)] | Text | None = None

    @model_validator(mode="after")
    def _some(self) -> Output:
        if "equals" not in self.model_fields_set:
            _stated(self, "nothing is expected of the output")
        return self


_STOP_REASONS = [f"{k}:x" if k in SUBJECT_KINDS else k.value for k in StopKind]


def stop_problem(pattern: str) -> str | None:
    """Return why a pattern can never match a stop reason; `None` if it can."""
    kind, colon, subject = pattern.partition(":")
    kinds = [k for k in StopKind if fnmatch.fnmatchcase(k.value, kind)]
    if not kinds:
        near = difflib.get_close_matches(kind, [k.value for k in StopKind], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"kinds are {', '.join(StopKind)}"
        return f"{pattern!r} is not a stop reason; {hint}"
    if colon and not subject:
        return f"{pattern!r} has nothing after the colon; write {kind}:* for any"
    if kind.endswith("*"):
        return None  # a glob before the colon may also match the colon and the subject
    subjects = [k in SUBJECT_KINDS for k in kinds]
    if colon and not any(subjects):
        return f"{pattern!r} matches no stop reason: {kind} has no subject"
    if not colon and all(subjects):
        return f"{pattern!r} matches no stop reason: {kind} names a tool or model; write {kind}:* for any"
    return None


def _stop_patterns(value: Any) -> Any:
    if isinstance(value, dict) and list(value) == ["one_of"]:
        value = value["one_of"]
    return listed(value)


def _check_stops(value: tuple[str, ...]) -> tuple[str, ...]:
    for index, pattern in enumerate(value):
        if (problem := stop_problem(pattern)) is not None:
            raise _problem("stop_reason", problem, (index,))
    if all(any(fnmatch.fnmatchcase(reason, p) for p in value) for reason in _STOP_REASONS):
        raise _problem(
            "stop_reason", f"{' or '.join(value)} matches every stop reason; name the accepted ones"
        )
    return value


class OneOf(Model):
    """Several accepted stop reasons."""

    one_of: tuple[Text, ...]


StopPatterns = Annotated[
    tuple[Text, ...],
    BeforeValidator(_stop_patterns, json_schema_input_type=str | tuple[Text, ...] | OneOf),
    AfterValidator(_check_stops),
    Field(min_length=1),
]


class ApprovalSpec(Model):
    """An approval that must have been requested."""

    tool: Text
    decision: Literal["granted", "denied", "timeout", "unanswered"] | None = None


Pairs = Annotated[tuple[tuple[Spec, Spec], ...], Field(min_length=1)]
Turns = Annotated[tuple[Annotated[tuple[Spec, ...], Field(min_length=2)], ...], Field(min_length=1)]
Approvals = Annotated[tuple[ApprovalSpec, ...], Field(min_length=1)]


class Expect(Model):
    """All expectations of a task; a rule that is not given is not checked."""

    stop_reason: StopPatterns | None = None
    tools: Tools | None = None
    never: Specs | None = None
    before: Pairs | None = None
    same_turn: Turns | None = None
    at_most_once: Onces | None = None
    counts: Counts | None = None
    approvals: Approvals | None = None
    loop_free: Literal[True] | None = None
    cost: Cost | None = None
    tokens: Tokens | None = None
    output: Output | None = None
    trace: Literal["baseline"] | None = None

    @model_validator(mode="after")
    def _some(self) -> Expect:
        # A task without this section is judged by its replay and the invariants; the default is not validated.
        _stated(self, "nothing is expected")
        return self
