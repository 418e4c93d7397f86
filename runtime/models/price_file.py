"""Read the override file of prices (`prices/1`): dollars for a million tokens, by model name.

    schema: prices/1
    models:
      demo-large: {input: 2.5, output: 10, cache_read: 1.25}

Loaded only where an override file is named.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runtime.core.money import Rate, usd_to_nanos
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
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def read_price_file(data: bytes, *, where: str) -> dict[str, Rate]:
    """Return the rates of a price file by model name.

    Args:
        data: Content of the file.
        where: Its name, for messages.

    Raises:
        UsageError: If it is no YAML or not of the schema; names file and each wrong field.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"a price file has at most {MAX_BYTES} bytes, this one {len(data)}", where=where)
    try:
        document = yaml.load(data, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the price file is no YAML: {text}", where=where, next_step=_NEXT) from error
    try:
        parsed = PriceFile.model_validate(document)
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
