"""The price table: what a model costs at a time, from a dated offline snapshot and an override file.

Rules.
1. An unknown price is `None`, never 0: a model that the snapshot does not hold, or holds without a price for
   input or output tokens. A free model is one whose price is written down as 0.
2. No network and no clock. The snapshot is the one inside the installed `genai-prices`, also where its
   updater runs in the same process; a rate without a time is the rate at the snapshot's date.
3. The override file wins over the snapshot, by exact model name and for every provider. It alone has prices of
   service tiers other than the standard one.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from runtime.core.money import NANOS_PER_USD, Rate, Tier
from runtime.errors import DataError

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

PACKAGE = "genai-prices"
_DATA_FILE = "genai_prices/data.py"
_HASH_CHARS = 8
_DAY = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_CHECKED = re.compile(r"(?:checked|as of|verified|retrieved|accessed)(?: [a-z]+){0,4} $", re.IGNORECASE)
"""What stands before a day on which a price was read; the snapshot carries no date of its own."""
_CHECKED_CHARS = 60

_PROVIDER_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
}
"""Provider names of the OpenTelemetry conventions where the snapshot uses another."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Which prices are installed.

    Attributes:
        version: Version of the package.
        date: The newest day on which the snapshot says it checked a price, ISO 8601.
        digest: Start of the SHA-256 of its data.
    """

    version: str
    date: str
    digest: str


class PriceTable:
    """What models cost; see the rules of this module."""

    def __init__(
        self,
        snapshot: Snapshot,
        overrides: dict[tuple[str, str | None], Rate],
        overrides_digest: str | None,
    ) -> None:
        self._snapshot = snapshot
        self._overrides = overrides
        self._overrides_digest = overrides_digest

    @classmethod
    def default(cls, override: Path | None = None) -> PriceTable:
        """Return the table of the installed snapshot, under the rates of an override file if one is named.

        Raises:
            DataError: If the override file cannot be read, or the snapshot is not installed.
            UsageError: If the override file is not of the schema `prices/1`; names file and field.
        """
        if override is None:
            return cls(installed_snapshot(), {}, None)
        from runtime.models.price_file import read_price_file

        try:
            data = override.read_bytes()
        except OSError as error:
            raise DataError(
                f"the price file cannot be read: {error.strerror or error}",
                where=str(override),
                next_step="check the path, or leave the price file out",
            ) from error
        return cls(installed_snapshot(), read_price_file(data, where=str(override)), _short_digest(data))

    @property
    def id(self) -> str:
        """Text that names the prices: package version, snapshot date and digest, digest of the overrides."""
        base = f"{PACKAGE} {self._snapshot.version} ({self._snapshot.date}, {self._snapshot.digest})"
        return base if self._overrides_digest is None else f"{base} + override {self._overrides_digest}"

    def rate(self, model: str, provider: str | None, at: datetime | None = None) -> Rate | None:
        """Return what a model costs at a time, or `None` if that is not known.

        Args:
            model: Model id as configured or as the provider names it.
            provider: Provider name of the conventions or of the snapshot; `None` to go by the model's name.
                A provider the snapshot does not know has no price there, even for a model that it does.
            at: Aware time of the call; `None` for the snapshot's date.
        """
        if (own := self._overrides.get((model, None))) is not None:
            return own
        found = _offline_snapshot()
        try:
            _, info = found.find_provider_model(
                model, None, _PROVIDER_IDS.get(provider or "", provider), None
            )
        except LookupError:
            return None
        return _rate_of(info.get_prices(at if at is not None else self._snapshot_at()))

    def tier_rate(self, model: str, tier: str) -> Rate | None:
        """Return what a model costs at a service tier other than the standard one.

        Only a price file tells: the snapshot has standard prices.
        """
        return self._overrides.get((model, tier))

    def _snapshot_at(self) -> datetime:
        day = datetime.fromisoformat(self._snapshot.date).date()
        return datetime.combine(day, time(12), tzinfo=UTC)


@cache
def installed_snapshot() -> Snapshot:
    """Return which prices are installed, without importing them.

    Raises:
        DataError: If the package or its data is missing, or no date stands in it.
    """
    try:
        package = metadata.distribution(PACKAGE)
        data = Path(str(package.locate_file(_DATA_FILE))).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise DataError(
            "the price snapshot is not installed", where=PACKAGE, next_step=f"install {PACKAGE}"
        ) from error
    text = data.decode("utf-8")
    days = [
        found[0]
        for found in _DAY.finditer(text)
        if _CHECKED.search(text, max(0, found.start() - _CHECKED_CHARS), found.start())
    ]
    if not days:
        raise DataError(
            f"the price snapshot of version {package.version} bears no date",
            where=PACKAGE,
            next_step="install another version, or give all prices in a price file",
        )
    return Snapshot(version=package.version, date=max(days), digest=_short_digest(data))


@cache
def _offline_snapshot() -> Any:
    # Not `get_snapshot()`: that answers with downloaded prices once the package's updater ran.
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


def _rate_of(price: ModelPrice) -> Rate | None:
    """Return the rate of a snapshot price; kinds of usage that we do not count are omitted.

    Reasoning tokens count as output: the two models that price them apart price them lower.
    """
    if price.input_mtok is None or price.output_mtok is None:
        return None
    requests = price.requests_kcount
    return Rate(
        input=_base(price.input_mtok),
        output=_base(price.output_mtok),
        cache_read=None if price.cache_read_mtok is None else _base(price.cache_read_mtok),
        cache_write=None if price.cache_write_mtok is None else _base(price.cache_write_mtok),
        cache_write_1h=None if price.cache_write_1h_mtok is None else _base(price.cache_write_1h_mtok),
        request=0 if requests is None else -(-_base(requests) // 1000),
        input_tiers=_tiers(price.input_mtok),
        output_tiers=_tiers(price.output_mtok),
        cache_read_tiers=_tiers(price.cache_read_mtok),
        cache_write_tiers=_tiers(price.cache_write_mtok),
    )


def _base(price: Any) -> int:
    return _nanos(cast("Decimal", getattr(price, "base", price)))


def _tiers(price: Any) -> tuple[Tier, ...]:
    return tuple(Tier(tier.start, _nanos(tier.price)) for tier in getattr(price, "tiers", ()))


def _nanos(usd: Decimal) -> int:
    """Return nano-dollars, to the nearest: finer digits in the snapshot are noise of binary floats."""
    return int((usd * NANOS_PER_USD).to_integral_value())


def _short_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_HASH_CHARS]
