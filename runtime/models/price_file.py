"""Read the override file of prices (`prices/1`): dollars for a million tokens, by model name.

    schema: prices/1
    models:
      demo-large:
        input: 2.5
        output: 10
        cache_read: 1.25
        cache_write: 3.125
        cache_write_1h: 5                                   # writes that last an hour
        request: 0.001                                      # dollars for each call
        tiers: [{above_tokens: 200000, input: 5, output: 15}]
        service_tiers:
          priority: {input: 5, output: 20}

Loaded only where an override file is named.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runtime.core.money import Rate, Tier, usd_to_nanos
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


class TierEntry(_Strict):
    """Dollars for a million tokens of calls whose input is larger than a size."""

    above_tokens: Annotated[int, BeforeValidator(_refuse_bool), Field(gt=0)]
    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write: Usd | None = None


class RateEntry(_Strict):
    """Dollars for a million tokens; a cache price left out means cached input costs as other input.

    Written tokens that have a price, and none for an hour, have an unknown price where they last an hour.
    """

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    request: Usd = Decimal(0)
    tiers: tuple[TierEntry, ...] = ()


class ModelPriceEntry(RateEntry):
    """What a model costs, and what it costs at service tiers other than the standard one."""

    service_tiers: dict[str, RateEntry] = Field(default_factory=dict)


class PriceFile(_Strict):
    """The whole file."""

    schema_: Literal["prices/1"] = Field(alias="schema")
    models: dict[str, ModelPriceEntry]


def read_price_file(data: bytes, *, where: str) -> dict[tuple[str, str | None], Rate]:
    """Return the rates of a price file by model name and service tier; `None` is the standard one.

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
    rates: dict[tuple[str, str | None], Rate] = {}
    for name, entry in parsed.models.items():
        rates[name, None] = _rate(entry, None)
        for tier, other in entry.service_tiers.items():
            rates[name, tier] = _rate(other, tier)
    return rates


def _problems(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"]) or "document"
        problems.append(f"{place}: {item['msg']} (got {str(item['input'])[:80]!r})")
    return "; ".join(problems)


def _rate(entry: RateEntry, service_tier: str | None) -> Rate:
    tiers = sorted(entry.tiers, key=lambda tier: tier.above_tokens)
    return Rate(
        input=usd_to_nanos(entry.input),
        output=usd_to_nanos(entry.output),
        cache_read=_optional(entry.cache_read),
        cache_write=_optional(entry.cache_write),
        cache_write_1h=_optional(entry.cache_write_1h),
        request=usd_to_nanos(entry.request),
        input_tiers=_tiers(tiers, "input"),
        output_tiers=_tiers(tiers, "output"),
        cache_read_tiers=_tiers(tiers, "cache_read"),
        cache_write_tiers=_tiers(tiers, "cache_write"),
        tier=service_tier,
    )


def _optional(usd: Decimal | None) -> int | None:
    return None if usd is None else usd_to_nanos(usd)


def _tiers(tiers: list[TierEntry], name: str) -> tuple[Tier, ...]:
    priced = [(tier.above_tokens, getattr(tier, name)) for tier in tiers]
    return tuple(Tier(size, usd_to_nanos(usd)) for size, usd in priced if usd is not None)
