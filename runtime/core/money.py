"""Money as integer nano-dollars, token usage, and the rates that turn one into the other."""

from __future__ import annotations

from decimal import Context, Decimal

import msgspec

NANOS_PER_USD = 1_000_000_000
MOST_USD = 10**9
"""A larger amount is a mistake; its nano-dollars would not fit into the 64 bits that stores have."""
_EXACT = Context(prec=60, traps=[])
"""Money is counted in a context of its own: the caller's may round to six digits."""


def usd_to_nanos(usd: float | str | Decimal) -> int:
    """Return dollars as integer nano-dollars, rounded half to even.

    Raises:
        ValueError: If the text is no number, or is negative or not finite.
    """
    try:
        amount = usd if isinstance(usd, Decimal) else Decimal(str(usd))
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"{usd!r} is no amount of dollars") from error
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise ValueError(f"{usd!r} is no amount of dollars")
    return int(_EXACT.to_integral_value(_EXACT.multiply(amount, NANOS_PER_USD)))


def exact_usd(nanos: int) -> Decimal:
    """Return nano-dollars as dollars, without zeros at the end: equal sums have one form."""
    return Decimal(format(_EXACT.normalize(_EXACT.divide(nanos, NANOS_PER_USD)), "f"))


def usd_text(nanos: int | None) -> str | None:
    """Return nano-dollars as an exact decimal string of dollars; `None` stays `None`."""
    if nanos is None:
        return None
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS_PER_USD)
    return f"{sign}{whole}.{rest:09d}"


MOST_TOKENS = 10**9
"""More than any one call can use."""


STANDARD_TIERS = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
"""Service tiers at which the listed rates hold, by the providers' names."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one model call as the provider reported them.

    Attributes:
        input_tokens: All input tokens, cached ones included.
        output_tokens: All output tokens, reasoning included where the provider counts so.
        cache_read_tokens: Input tokens read from a prompt cache.
        cache_write_tokens: Input tokens written to a prompt cache.
        cache_write_1h_tokens: Those of them that were written for an hour, which costs more than for minutes.
        reasoning_tokens: Output tokens spent on reasoning.
        billed_as: What the provider names beside the tokens where its listed rates do not hold: another service
            tier, or `tools` for calls of its own tools.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    billed_as: str | None = None

    @property
    def is_possible(self) -> bool:
        """Whether each number can be one of tokens; what cannot is as if it had not been reported."""
        counts = [getattr(self, name) for name in self.__struct_fields__ if name != "billed_as"]
        return all(n is None or 0 <= n <= MOST_TOKENS for n in counts)


class Tier(msgspec.Struct, frozen=True):
    """A rate that holds for the whole call once its input passes a size.

    Attributes:
        above_tokens: Input tokens that must be exceeded.
        nanos_per_mtok: Nano-dollars for a million tokens.
    """

    above_tokens: int
    nanos_per_mtok: int


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model costs: nano-dollars for a million tokens of each kind.

    A cache rate of `None` means cached tokens cost what other input costs. Where written tokens have a rate and those
    that are written for an hour have none, the price of the latter is not known.

    Attributes:
        request: Nano-dollars of the call itself.
        tier: The service tier for which the rate holds; `None` for the standard one.
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    request: int = 0
    input_tiers: tuple[Tier, ...] = ()
    output_tiers: tuple[Tier, ...] = ()
    cache_read_tiers: tuple[Tier, ...] = ()
    cache_write_tiers: tuple[Tier, ...] = ()
    tier: str | None = None

    def cost(self, usage: Usage) -> int | None:
        """Return the nano-dollars of a call, rounded up.

        `None` where input or output tokens are unknown, or the rate says nothing of how they were billed.
        """
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        if usage.billed_as not in {None, self.tier}:
            return None
        size = usage.input_tokens
        read = min(usage.cache_read_tokens or 0, size)
        write = min(usage.cache_write_tokens or 0, size - read)
        full = tiered(self.input, self.input_tiers, size)
        micro = (size - read - write) * full
        micro += read * _or_full(self.cache_read, self.cache_read_tiers, size, full)
        hour = min(usage.cache_write_1h_tokens or 0, write)
        if hour and self.cache_write is not None and self.cache_write_1h is None:
            return None
        written = _or_full(self.cache_write, self.cache_write_tiers, size, full)
        micro += (write - hour) * written
        micro += hour * (written if self.cache_write_1h is None else self.cache_write_1h)
        micro += usage.output_tokens * tiered(self.output, self.output_tiers, size)
        return self.request + -(-micro // 1_000_000)

    def worst_case(self, *, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call of at most these sizes can cost, in nano-dollars."""
        dearest = _dearest(self.input, self.input_tiers, input_tokens)
        if self.cache_read is not None:
            dearest = max(dearest, _dearest(self.cache_read, self.cache_read_tiers, input_tokens))
        if self.cache_write is not None:
            dearest = max(dearest, _dearest(self.cache_write, self.cache_write_tiers, input_tokens))
        if self.cache_write_1h is not None:
            dearest = max(dearest, self.cache_write_1h)
        out = _dearest(self.output, self.output_tiers, input_tokens)
        return self.request + -(-(input_tokens * dearest + output_tokens * out) // 1_000_000)

    def affordable_output(self, *, nanos: int, input_tokens: int) -> int:
        """Return how many output tokens a sum buys after the input is paid; below 0 if not even that."""
        left = nanos - self.worst_case(input_tokens=input_tokens, output_tokens=0)
        if left < 0:
            return -1
        out = _dearest(self.output, self.output_tiers, input_tokens)
        return left * 1_000_000 // out if out > 0 else 2**31


def tiered(base: int, tiers: tuple[Tier, ...], input_tokens: int) -> int:
    """Return the rate that holds for a call of this input size."""
    rate = base
    for tier in tiers:
        if input_tokens > tier.above_tokens:
            rate = tier.nanos_per_mtok
    return rate


def _or_full(base: int | None, tiers: tuple[Tier, ...], input_tokens: int, full: int) -> int:
    return full if base is None else tiered(base, tiers, input_tokens)


def _dearest(base: int, tiers: tuple[Tier, ...], input_tokens: int) -> int:
    """Return the highest rate a call of at most this input size can meet; a larger size may be cheaper."""
    if not tiers:
        return base
    return max((base, *(t.nanos_per_mtok for t in tiers if input_tokens > t.above_tokens)))
