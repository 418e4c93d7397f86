"""What a golden task may expect: the pydantic models of the section `expect`, unknown fields refused."""

from __future__ import annotations

import difflib
import fnmatch
from typing import Annotated, Any, ClassVar, Literal, LiteralString

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from harness.golden.rules.matchers import check_expectation, regex_problem
from harness.golden.rules.pairing import Mode
from runtime.core.effects import CallStatus
from runtime.core.stop import SUBJECT_KINDS, StopKind


class Model(BaseModel):
    """Base of the models of a task file: frozen, unknown fields refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


Whole = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Strict(), Field(min_length=1)]


def listed(value: Any) -> Any:
    """Return a single text as a list of one, so that both may be written."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(listed, json_schema_input_type=str | tuple[Text, ...]),
    Field(min_length=1),
]


def _problem(kind: LiteralString, text: str, path: tuple[str | int, ...] = ()) -> PydanticCustomError:
    # The text goes in as context: braces in a template would be read as fields.
    return PydanticCustomError(kind, "{text}", {"text": text, "path": list(path)})


def _check_matchers(value: Any) -> Any:
    for problem in check_expectation(value):
        raise _problem("matcher", str(problem), problem.path)
    return value


def _check_args(value: dict[str, Any]) -> dict[str, Any]:
    # Argument names stand at the top, so an argument called `regex` is no matcher.
    for name, expected in value.items():
        for problem in check_expectation(expected, (name,)):
            raise _problem("matcher", str(problem), problem.path)
    return value


Args = Annotated[dict[str, Any], AfterValidator(_check_args)]


def _check_regexes(value: tuple[str, ...]) -> tuple[str, ...]:
    for index, pattern in enumerate(value):
        if (problem := regex_problem(pattern)) is not None:
            raise _problem("regex", problem, (index,))
    return value


class Range(Model):
    """A count between two bounds, both included; a plain number means exactly that many."""

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
        """Return whether a count is within the bounds."""
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


Count = Annotated[Range, BeforeValidator(_range, json_schema_input_type=int | Range)]


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
    """Calls of one tool; a plain name means any call of it.

    Attributes:
        tool: Exact tool name.
        args: Expectations on arguments; what is not named is not looked at.
        status: What became of the call; any if not given.
    """

    tool: Text
    args: Args | None = None
    status: Annotated[
        tuple[CallStatus, ...] | None,
        BeforeValidator(listed, json_schema_input_type=CallStatus | tuple[CallStatus, ...] | None),
    ] = None


class ExpectedCall(CallSpec):
    """One expected call of `tools`; `times` is a number or [min, max]."""

    times: TimesRange | None = None


def _named(value: Any) -> Any:
    return {"tool": value} if isinstance(value, str) else value


Spec = Annotated[CallSpec, BeforeValidator(_named, json_schema_input_type=str | CallSpec)]
Expected = Annotated[ExpectedCall, BeforeValidator(_named, json_schema_input_type=str | ExpectedCall)]
Specs = Annotated[tuple[Spec, ...], Field(min_length=1)]


class Tools(Model):
    """Which calls a run makes."""

    mode: Mode
    calls: tuple[Expected, ...]

    @model_validator(mode="after")
    def _can_fail(self) -> Tools:
        if not self.calls and self.mode in {"in_order", "superset"}:
            raise _problem(
                "empty", f"mode {self.mode} without calls can never fail; use exact for no calls at all"
            )
        return self


class Counts(Model):
    """How many of each; a number means exactly that many."""

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


class VsBaseline(Model):
    """Cost against the stored baseline: fails above the ratio, if the difference is worth it."""

    max_ratio: Annotated[Number, Field(gt=0)]
    min_delta_usd: Number = 0.0


class Cost(Model):
    """What a run may cost, in dollars. An unknown price fails."""

    max_usd: Number | None = None
    vs_baseline: VsBaseline | None = None

    @model_validator(mode="after")
    def _stated(self) -> Cost:
        if self.max_usd is None and self.vs_baseline is None:
            raise _problem("empty", "no limit is given; write max_usd, vs_baseline or both")
        return self


class Tokens(Model):
    """How many tokens a run may use. Unknown usage fails."""

    input: Count | None = None
    output: Count | None = None
    total: Count | None = None


class Output(Model):
    """What the run's last text says."""

    contains: Texts | None = None
    not_contains: Texts | None = None
    regex: Annotated[Texts, AfterValidator(_check_regexes)] | None = None
    equals: Annotated[Any, AfterValidator(_check_matchers)] = None
    json_schema: dict[str, Any] | Text | None = None


def stop_problem(pattern: str) -> str | None:
    """Return why a pattern can match no stop reason; `None` if it can."""
    kind, colon, subject = pattern.partition(":")
    kinds = [k for k in StopKind if fnmatch.fnmatchcase(k.value, kind)]
    if not kinds:
        near = difflib.get_close_matches(kind, [k.value for k in StopKind], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"kinds are {', '.join(StopKind)}"
        return f"{pattern!r} is no stop reason; {hint}"
    if colon and not subject:
        return f"{pattern!r} has nothing after the colon; write {kind}:* for any"
    if kind.endswith("*"):
        return None  # the glob may reach over the colon
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
    """An approval that must have been asked for."""

    tool: Text
    decision: Literal["granted", "denied", "timeout", "unanswered"] | None = None


Pairs = Annotated[tuple[tuple[Spec, Spec], ...], Field(min_length=1)]
Turns = Annotated[tuple[Annotated[tuple[Spec, ...], Field(min_length=2)], ...], Field(min_length=1)]
Approvals = Annotated[tuple[ApprovalSpec, ...], Field(min_length=1)]


class Expect(Model):
    """All that a task expects; what is not given is not checked."""

    stop_reason: StopPatterns | None = None
    tools: Tools | None = None
    never: Specs | None = None
    before: Pairs | None = None
    same_turn: Turns | None = None
    at_most_once: Specs | None = None
    counts: Counts | None = None
    approvals: Approvals | None = None
    loop_free: Literal[True] | None = None
    cost: Cost | None = None
    tokens: Tokens | None = None
    output: Output | None = None
    trace: Literal["baseline"] | None = None
