"""Policies and budgets from YAML or JSON: pydantic at the edge, unknown fields refused, frozen values inside."""

from __future__ import annotations

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
from runtime.core.policy import ArgumentRule, Budget, LoopLimits, OnRefusal, Policy
from runtime.core.signatures import checks_arguments
from runtime.documents.strict_yaml import Lines, read_yaml
from runtime.documents.yaml_events import YamlProblem
from runtime.entry.old_names import BUDGET_PATHS, rename_limits
from runtime.entry.policy_check import rule_problem
from runtime.errors import DataError, UsageError

Whole = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Strict(), Field(min_length=1)]


def _pattern(value: str) -> str:
    problem = pattern_problem(value)
    if problem is not None:
        raise PydanticCustomError("pattern", "{text}", {"text": problem})
    return value


def _dollars(value: Any) -> Any:
    if type(value) in {int, float, str}:
        try:
            return exact_usd(usd_to_nanos(value))
        except ValueError:
            pass
    text = f'dollars from 0 to {MOST_USD:,} are expected, like 0.05 or "0.05"'
    raise PydanticCustomError("dollars", "{text}", {"text": text})


Dollars = Annotated[
    Decimal,
    BeforeValidator(_dollars),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}]}
    ),
]


class Spec(BaseModel):
    """Base of these models: frozen, unknown fields refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class BudgetSpec(Spec):
    """How much the run may use; null is no limit."""

    max_steps: Annotated[Whole, Field(ge=1)] | None = None
    max_seconds: Annotated[Number, Field(gt=0)] | None = None
    max_usd: Dollars | None = None
    max_tokens: Whole | None = None
    max_tool_calls: Whole | None = None
    max_parallel: Annotated[Whole, Field(ge=1)] | None = None

    def to_budget(self, base: Budget | None = None) -> Budget:
        """Return the budget: stated limits, and for the others those of `base` (default: the runtime's)."""
        stated = {name: getattr(self, name) for name in self.model_fields_set}
        return replace(Budget() if base is None else base, **stated)


class LoopSpec(Spec):
    """When repetition counts as a loop."""

    same_call: Annotated[Whole, Field(ge=1)] = LoopLimits().same_call
    cycle: Annotated[Whole, Field(ge=1)] = LoopLimits().cycle
    same_error: Annotated[Whole, Field(ge=1)] = LoopLimits().same_error
    no_progress: Annotated[Whole, Field(ge=1)] | None = LoopLimits().no_progress


class ArgumentSpec(Spec):
    """What one argument of a tool may be; all stated conditions must hold."""

    path: Text
    one_of: tuple[str | int | float | bool, ...] | None = None
    pattern: Annotated[Text, AfterValidator(_pattern)] | None = None
    at_least: Annotated[float, Field(allow_inf_nan=False)] | None = None
    at_most: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max_chars: Whole | None = None
    required: bool = False

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        problem = rule_problem(ArgumentRule(**self.model_dump()))
        if problem is not None:
            raise PydanticCustomError("rule", "{text}", {"text": problem})
        return self


def _some(rules: tuple[ArgumentSpec, ...]) -> tuple[ArgumentSpec, ...]:
    # `min_length` would also complain of a list whose rules are wrong.
    if not rules:
        raise PydanticCustomError("rules", "{text}", {"text": "no rule stands here, so nothing is refused"})
    return rules


class PolicySpec(Spec):
    """What the run may do; fields that are not given keep the agent's value."""

    allow: tuple[Text, ...] | None = None
    approve: tuple[Text, ...] = ()
    arguments: dict[Text, Annotated[tuple[ArgumentSpec, ...], AfterValidator(_some)]] = {}
    scopes: tuple[Text, ...] | None = None
    budget: BudgetSpec = BudgetSpec()
    on_denied: OnRefusal = "tell"
    on_unknown: OnRefusal = "tell"
    on_invalid: OnRefusal = "tell"
    on_failure: OnRefusal = "stop"
    max_refusals: Whole = 5
    approval_timeout_s: Annotated[Number, Field(gt=0)] = 300.0
    loop: LoopSpec | None = LoopSpec()

    def to_policy(self, base: Policy | None = None) -> Policy:
        """Return the policy: stated fields, and for the others those of `base` (default: the runtime's)."""
        stated: dict[str, Any] = {n: getattr(self, n) for n in self.model_fields_set - {"budget", "schema_"}}
        if isinstance(stated.get("loop"), LoopSpec):
            stated["loop"] = LoopLimits(**stated["loop"].model_dump())
        if "arguments" in stated:
            stated["arguments"] = {
                tool: tuple(ArgumentRule(**rule.model_dump()) for rule in rules)
                for tool, rules in stated["arguments"].items()
            }
        return msgspec.structs.replace(Policy() if base is None else base, **stated)

    def to_budget(self, base: Budget | None = None) -> Budget:
        """Return the budget of this policy, as `BudgetSpec.to_budget`."""
        return self.budget.to_budget(base)


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
