"""Read the override file of prices (`prices/1`): dollars for a million tokens, by model name.

    schema: prices/1
    models:
      demo-large: {input: 2.5, output: 10, cache_read: 1.25}

Loaded only where an override file is named.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runtime.core.money import Rate, usd_to_nanos
from runtime.documents.strict_yaml import read_yaml
from runtime.documents.yaml_events import YamlProblem
from runtime.errors import UsageError

MAX_BYTES = 1_000_000
"""A price file is written by hand; anything larger is another file."""

_NEXT = "write `schema: prices/1` and `models: {name: {input: 2.5, output: 10}}`, in dollars a million tokens"


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number of dollars")
    return value


Usd = Annotated[
    Decimal, BeforeValidator(_refuse_bool), Field(ge=0, lt=Decimal(1_000_000), allow_inf_nan=False)
]


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class ModelPriceEntry(_Strict):
    """Dollars for a million tokens; a cache price left out means cached input costs as other input."""

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write: Usd | None = None


class PriceFile(_Strict):
    """The whole file."""

    schema_: Literal["prices/1"] = Field(alias="schema")
    models: dict[str, ModelPriceEntry]


def read_price_file(data: bytes, *, where: str) -> dict[str, Rate]:
    """Return the rates of a price file by model name.

    Args:
        data: Content of the file.
        where: Its name, for messages.

    Raises:
        UsageError: If it is no YAML that every reader understands alike, or not of the schema; names the file, and
            the line or each wrong field.
    """
    try:
        document = read_yaml(data, max_bytes=MAX_BYTES)
    except YamlProblem as problem:
        place = where if problem.line is None else f"{where}:{problem.line}"
        raise UsageError(
            f"the price file is refused: {problem.what}", where=place, next_step=problem.next_step
        ) from problem
    try:
        parsed = PriceFile.model_validate(document.value)
    except ValidationError as error:
        raise UsageError(_problems(error), where=where, next_step=_NEXT) from error
    return {name: _rate(entry) for name, entry in parsed.models.items()}


def _problems(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"]) or "document"
        problems.append(f"{place}: {item['msg']} (got {str(item['input'])[:80]!r})")
    return "; ".join(problems)


def _rate(entry: ModelPriceEntry) -> Rate:
    return Rate(
        input=usd_to_nanos(entry.input),
        output=usd_to_nanos(entry.output),
        cache_read=None if entry.cache_read is None else usd_to_nanos(entry.cache_read),
        cache_write=None if entry.cache_write is None else usd_to_nanos(entry.cache_write),
    )
