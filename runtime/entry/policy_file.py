"""Policies and budgets from YAML or JSON: pydantic at the edge, unknown fields refused, frozen values inside."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runtime.control.patterns import pattern_problem
from runtime.core.money import MOST_USD, exact_usd, usd_to_nanos
from runtime.core.policy import AnyTool, ArgumentRule, Budget, LoopLimits, OnRefusal, Policy
from runtime.core.signatures import checks_arguments
from runtime.documents.strict_yaml import Lines, read_yaml
from runtime.documents.yaml_events import YamlProblem
from runtime.entry.old_names import BUDGET_PATHS, rename_limits
from runtime.entry.policy_check import rule_problem
from runtime.entry.policy_words import Stated, Words
from runtime.errors import DataError, UsageError

Whole = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Strict(), Field(min_length=1)]
Unlimited = Literal["unlimited"]


def _pattern(value: str) -> str:
    problem = pattern_problem(value)
    if problem is not None:
        raise PydanticCustomError("pattern", "{text}", {"text": problem})
    return value


_DOLLARS = r"^([0-9]{1,9}(\.[0-9]{1,9})?|1000000000)$"


def _dollars(value: Any) -> Any:
    plain = type(value) in {int, float} or (type(value) is str and re.fullmatch(_DOLLARS, value))
    if plain:
        try:
            nanos = usd_to_nanos(value)
            if nanos or not Decimal(str(value)):  # what rounds to nothing would stop the run at once
                return exact_usd(nanos)
        except ValueError:
            pass
    text = f'dollars from 0 to {MOST_USD:,} are expected, like 0.05 or "0.05"'
    raise PydanticCustomError("dollars", "{text}", {"text": text})


Dollars = Annotated[
    Decimal,
    BeforeValidator(_dollars),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [0]},
                {"type": "number", "minimum": 1e-9, "maximum": MOST_USD},
                {"type": "string", "pattern": _DOLLARS},
            ]
        }
    ),
]


class Spec(BaseModel):
    """Base of these models: frozen, unknown fields refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


Count = Annotated[int, Strict(), Field(ge=1)]
Seconds = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
AnyNumber = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Names = tuple[Text, ...]
Scalars = tuple[
    Annotated[str, Strict()]
    | Annotated[int, Strict()]
    | Annotated[float, Strict(), Field(allow_inf_nan=False)]
    | Annotated[bool, Strict()],
    ...,
]


class BudgetSpec(Spec):
    """How much the run may use; `unlimited` is no limit, and a limit that is left out is that of the agent."""

    max_steps: Annotated[int | Unlimited, Words(Count, "unlimited")] = "unlimited"
    max_seconds: Annotated[float | Unlimited, Words(Seconds, "unlimited")] = "unlimited"
    max_usd: Annotated[Decimal | Unlimited, Words(Dollars, "unlimited")] = "unlimited"
    max_tokens: Annotated[int | Unlimited, Words(Whole, "unlimited")] = "unlimited"
    max_tool_calls: Annotated[int | Unlimited, Words(Whole, "unlimited")] = "unlimited"
    max_parallel: Annotated[int | Unlimited, Words(Count, "unlimited")] = "unlimited"

    def to_budget(self, base: Budget | None = None) -> Budget:
        """Return the budget: stated limits, and for the others those of `base` (default: the runtime's)."""
        stated = {name: _unless(getattr(self, name), "unlimited") for name in self.model_fields_set}
        return replace(Budget() if base is None else base, **stated)


class LoopSpec(Spec):
    """When repetition counts as a loop."""

    same_call: Annotated[Whole, Field(ge=1)] = LoopLimits().same_call
    cycle: Annotated[Whole, Field(ge=1)] = LoopLimits().cycle
    same_error: Annotated[Whole, Field(ge=1)] = LoopLimits().same_error
    no_progress: Annotated[int | Unlimited, Words(Count, "unlimited")] = (
        LoopLimits().no_progress or "unlimited"
    )
    levelled: Annotated[bool, Strict()] = LoopLimits().levelled


_CONDITIONS = ("one_of", "pattern", "at_least", "at_most", "max_chars")
_NEEDS_ONE: dict[str, Any] = {
    "anyOf": [
        *({"required": [name]} for name in _CONDITIONS),
        {"required": ["required"], "properties": {"required": {"const": True}}},
    ]
}


class ArgumentSpec(Spec):
    """What one argument of a tool may be; all stated conditions must hold."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_NEEDS_ONE)

    path: Text
    one_of: Annotated[tuple[str | int | float | bool, ...] | None, Stated(Scalars)] = None
    pattern: Annotated[str | None, Stated(Annotated[Text, AfterValidator(_pattern)])] = None
    at_least: Annotated[float | None, Stated(AnyNumber)] = None
    at_most: Annotated[float | None, Stated(AnyNumber)] = None
    max_chars: Annotated[int | None, Stated(Whole)] = None
    required: Annotated[bool, Strict()] = False

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        problem = rule_problem(ArgumentRule(**self.model_dump()))
        if problem is not None:
            raise PydanticCustomError("rule", "{text}", {"text": problem})
        return self


_AT_LEAST_ONE = Field(json_schema_extra={"minItems": 1})


def _some(rules: tuple[ArgumentSpec, ...]) -> tuple[ArgumentSpec, ...]:
    # `min_length` would also complain of a list whose rules are wrong.
    if not rules:
        raise PydanticCustomError("rules", "{text}", {"text": "no rule stands here, so nothing is refused"})
    return rules


class PolicySpec(Spec):
    """What the run may do; fields that are not given keep the agent's value."""

    allow: Annotated[tuple[str, ...] | AnyTool, Words(Names, "any", "reads")] = "reads"
    approve: tuple[Text, ...] = ()
    arguments: dict[Text, Annotated[tuple[ArgumentSpec, ...], AfterValidator(_some), _AT_LEAST_ONE]] = {}
    scopes: Annotated[tuple[str, ...] | Literal["any"], Words(Names, "any")] = "any"
    budget: BudgetSpec = BudgetSpec()
    on_denied: OnRefusal = "tell"
    on_unknown: OnRefusal = "tell"
    on_invalid: OnRefusal = "tell"
    on_failure: OnRefusal = "stop"
    max_refusals: Whole = 5
    approval_timeout_s: Annotated[Number, Field(gt=0)] = 300.0
    loop: Annotated[LoopSpec | Unlimited, Words(LoopSpec, "unlimited")] = LoopSpec()

    def to_policy(self, base: Policy | None = None) -> Policy:
        """Return the policy: stated fields, and for the others those of `base` (default: the runtime's)."""
        stated: dict[str, Any] = {n: getattr(self, n) for n in self.model_fields_set - {"budget", "schema_"}}
        if "scopes" in stated:
            stated["scopes"] = _unless(stated["scopes"], "any")
        if "loop" in stated:
            stated["loop"] = None if isinstance(self.loop, str) else _limits(self.loop)
        if "arguments" in stated:
            stated["arguments"] = {
                tool: tuple(ArgumentRule(**rule.model_dump()) for rule in rules)
                for tool, rules in stated["arguments"].items()
            }
        before = Policy() if base is None else base
        if "allow" in stated and "approve" not in stated and not isinstance(self.allow, str):
            # What `approve` names is allowed too, so a list of the base must not let through more than this file's.
            stated["approve"] = tuple(t for t in before.approve if t in self.allow)
        return msgspec.structs.replace(before, **stated)

    def to_budget(self, base: Budget | None = None) -> Budget:
        """Return the budget of this policy, as `BudgetSpec.to_budget`."""
        return self.budget.to_budget(base)


def _limits(loop: LoopSpec) -> LoopLimits:
    return LoopLimits(**{**loop.model_dump(), "no_progress": _unless(loop.no_progress, "unlimited")})


def _unless(value: Any, word: str) -> Any:
    return None if value == word else value


class PolicyFile(PolicySpec):
    """A policy in a file of its own."""

    schema_: Literal["policy/1"] = Field(alias="schema")


@checks_arguments
def read_policy(
    path: Path, *, policy: Policy | None = None, budget: Budget | None = None
) -> tuple[Policy, Budget]:
    """Return the policy and budget of a YAML or JSON file of schema `policy/1`.

    Args:
        path: The file.
        policy: What fields that are not given keep; the runtime's defaults if none.
        budget: The same for limits.

    Raises:
        DataError: If the file cannot be read.
        UsageError: If it is wrong, or two YAML readers could read it differently; every mistake is named with its
            line.
    """
    try:
        document = read_yaml(path.read_bytes())
        rename_limits(document, BUDGET_PATHS["policy/1"], where=str(path))
    except OSError as error:
        raise DataError(f"the policy cannot be read: {error.strerror}", where=str(path)) from error
    except YamlProblem as problem:
        where = str(path) if problem.line is None else f"{path}:{problem.line}"
        raise UsageError(problem.what, where=where, next_step=problem.next_step) from problem
    try:
        found = PolicyFile.model_validate(document.value)
    except ValidationError as error:
        raise _fault(error, path, document.lines) from error
    return found.to_policy(policy), found.to_budget(budget)


def _fault(error: ValidationError, path: Path, lines: Lines) -> UsageError:
    """Return all mistakes of a file, each with its line, the first as the place of the fault."""
    found = sorted(
        (lines.at(e["loc"]), f"{'.'.join(str(p) for p in e['loc']) or 'file'}: {e['msg']}")
        for e in error.errors(include_url=False)
    )
    (line, what), rest = found[0], found[1:]
    also = "".join(f"\n  {path}:{at}: {text}" for at, text in rest)
    return UsageError(what + also, where=f"{path}:{line}", next_step="correct these fields")


def policy_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of policy files, for editors."""
    schema = PolicyFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
