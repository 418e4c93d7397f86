"""Spend verdicts: a reservation fits into all of its scopes or into none.

Rules.
1. A scope's use is what is spent plus what is held; a reservation is granted when use plus amount passes no cap of
   any scope. So a cap is never passed by reservations, whatever order they come in.
2. A hold ends once: settled (the actual amount is spent), released (nothing is spent) or expired (its estimate is
   spent, because a call whose process died may have been made). Whatever comes after that changes nothing.
3. An actual amount above the held one is still written down: the ledger tells the truth. Callers hold the worst
   case, so this happens only when a provider bills more than it was allowed to.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Unit = Literal["nanos", "tokens", "tool_calls", "steps"]
HoldState = Literal["open", "settled", "released", "expired"]

LARGEST = 10**15
"""Most of a unit in one amount: a million dollars; sums of thousands of them still fit into 64 bits."""


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is reserved or used, each at least 0; `nanos` are nano-dollars."""

    nanos: int = 0
    tokens: int = 0
    tool_calls: int = 0
    steps: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.nanos + other.nanos,
            self.tokens + other.tokens,
            self.tool_calls + other.tool_calls,
            self.steps + other.steps,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.nanos - other.nanos,
            self.tokens - other.tokens,
            self.tool_calls - other.tool_calls,
            self.steps - other.steps,
        )


NOTHING = Amount()


class Caps(msgspec.Struct, frozen=True, omit_defaults=True):
    """The most a scope may use of each unit; `None` is no cap."""

    nanos: int | None = None
    tokens: int | None = None
    tool_calls: int | None = None
    steps: int | None = None


NO_CAPS = Caps()


class SpendScope(msgspec.Struct, frozen=True):
    """Where an amount counts (`runtime.control.scopes` makes the keys), and how much may be used there."""

    key: str
    caps: Caps = NO_CAPS


class ScopeUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a scope has used.

    Attributes:
        key: The scope.
        spent: Settled, and estimates of what expired.
        held: Reserved and still open.
        caps: As the last reservation that passed brought them.
        override: What an operator set; where it names a unit it replaces the cap that callers bring.
    """

    key: str
    spent: Amount = NOTHING
    held: Amount = NOTHING
    caps: Caps = NO_CAPS
    override: Caps | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The cap a reservation would have passed; `used` is spent and held together."""

    scope: str
    unit: Unit
    cap: int
    used: int
    requested: int


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reservation as it is stored.

    Attributes:
        scopes: Keys of its scopes, sorted.
        amount: What is held.
        estimate: What is spent if nobody settles it; at most `amount`.
        state: How it ended, or `open`.
    """

    scopes: tuple[str, ...]
    amount: Amount
    estimate: Amount
    state: HoldState = "open"


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a reservation.

    Attributes:
        granted: Whether the amount is held now.
        refusal: The first cap in the order of the scopes given that it would pass.
        why: `cap`; `ended` for an id whose hold has ended; `other` for an id held with another amount or scopes.
        repeated: Whether this very reservation was held already; nothing was held twice.
    """

    granted: bool
    refusal: Refusal | None = None
    why: Literal["cap", "ended", "other"] | None = None
    repeated: bool = False


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to settle and release.

    Attributes:
        applied: Whether this call ended the hold.
        state: How the hold ended, now or before; `None` if there is no such reservation.
        over: How much more was spent than held.
    """

    applied: bool
    state: HoldState | None
    over: Amount = NOTHING


def effective(caps: Caps, override: Caps | None) -> Caps:
    """Return the caps that hold: an operator's where set, else those the caller brings."""
    if override is None:
        return caps
    return Caps(
        caps.nanos if override.nanos is None else override.nanos,
        caps.tokens if override.tokens is None else override.tokens,
        caps.tool_calls if override.tool_calls is None else override.tool_calls,
        caps.steps if override.steps is None else override.steps,
    )


def refuse(use: ScopeUse, caps: Caps, amount: Amount, unknown: tuple[Unit, ...] = ()) -> Refusal | None:
    """Return the cap of a scope that a further amount would pass; an amount of 0 passes none.

    Args:
        use: What the scope has used.
        caps: What the caller brings.
        amount: What is wanted.
        unknown: Units whose amount is not known: a cap on one of them is passed.
    """
    if use.override is not None:
        caps = effective(caps, use.override)
    for unit in unknown:
        cap: int | None = getattr(caps, unit)
        if cap is not None:
            used = getattr(use.spent, unit) + getattr(use.held, unit)
            return Refusal(scope=use.key, unit=unit, cap=cap, used=used, requested=0)
    spent, held = use.spent, use.held
    return (
        _passed(use.key, "nanos", caps.nanos, spent.nanos, held.nanos, amount.nanos)
        or _passed(use.key, "tokens", caps.tokens, spent.tokens, held.tokens, amount.tokens)
        or _passed(
            use.key, "tool_calls", caps.tool_calls, spent.tool_calls, held.tool_calls, amount.tool_calls
        )
        or _passed(use.key, "steps", caps.steps, spent.steps, held.steps, amount.steps)
    )


def _passed(scope: str, unit: Unit, cap: int | None, spent: int, held: int, requested: int) -> Refusal | None:
    if cap is None or not requested or spent + held + requested <= cap:
        return None
    return Refusal(scope=scope, unit=unit, cap=cap, used=spent + held, requested=requested)


def excess(actual: Amount, held: Amount) -> Amount:
    """Return how much more of each unit was spent than held."""
    more = actual - held
    return Amount(max(0, more.nanos), max(0, more.tokens), max(0, more.tool_calls), max(0, more.steps))


def make_hold(scopes: tuple[SpendScope, ...], amount: Amount, estimate: Amount | None) -> Hold:
    """Return the hold of a reservation; without an estimate all of it is spent if nobody settles it.

    Raises:
        ValueError: If an amount cannot be, an estimate is above the amount, or a scope stands there twice.
    """
    keys = tuple(sorted([scope.key for scope in scopes]))
    if len(set(keys)) != len(keys) or not keys:
        raise ValueError(f"a reservation needs scopes, each once, not {keys!r}")
    check_amount(amount)
    if estimate is None:
        return Hold(scopes=keys, amount=amount, estimate=amount)
    check_amount(estimate)
    if excess(estimate, amount) != NOTHING:
        raise ValueError(f"an estimate is at most the amount held, not {estimate!r} of {amount!r}")
    return Hold(scopes=keys, amount=amount, estimate=estimate)


def check_amount(amount: Amount) -> None:
    """Refuse an amount that cannot be.

    Raises:
        ValueError: If a unit is below 0 or above `LARGEST`.
    """
    units = (amount.nanos, amount.tokens, amount.tool_calls, amount.steps)
    if min(units) < 0 or max(units) > LARGEST:
        raise ValueError(f"each unit of an amount is from 0 to {LARGEST}, not {amount!r}")


def repeat(found: Hold, wanted: Hold) -> Reserved:
    """Return the answer to a reservation whose id is taken."""
    if found.state != "open":
        return Reserved(granted=False, why="ended")
    if found != wanted:
        return Reserved(granted=False, why="other")
    return Reserved(granted=True, repeated=True)
