"""The rate limiter: a sliding window that never lets more than the limit through in any window of its length.

Theory of operation. The limiter keeps when it granted how much. Grants that fall within 1/64 of the window after
one another share an entry, which counts as if all of it came at the latest: at most 66 entries are kept whatever
the limit, calls further apart than that are counted exactly, and nobody waits longer than 65/64 of a window.
A token bucket or a fixed window would let almost twice the limit through around a boundary.
"""

from __future__ import annotations

import msgspec

GRAIN = 64


class RateRule(msgspec.Struct, frozen=True):
    """At most `limit` in any window of `window_s` seconds; both above 0."""

    limit: int
    window_s: float

    def __post_init__(self) -> None:
        if self.limit < 1 or not 0 < self.window_s < float("inf"):
            raise ValueError(
                f"limit and window of a rate are above 0, not {self.limit!r} and {self.window_s!r} seconds; "
                "to stop a tool altogether pull its switch"
            )


class GrantedCalls(msgspec.Struct, frozen=True, array_like=True):
    """One entry: `count` granted from `first` to `last`, in epoch seconds."""

    first: float
    last: float
    count: int


class RateState(msgspec.Struct, frozen=True):
    """What a limiter keeps, oldest entry first."""

    entries: tuple[GrantedCalls, ...] = ()


FRESH = RateState()


class RateAnswer(msgspec.Struct, frozen=True):
    """Whether the tokens were taken.

    Attributes:
        granted: The verdict.
        left: What may still be taken at this moment.
        after_s: If not granted: seconds until it would be, if nobody else takes any; `None` if it never would.
    """

    granted: bool
    left: int
    after_s: float | None = 0.0


def take(state: RateState, rule: RateRule, *, now: float, cost: int = 1) -> tuple[RateState, RateAnswer]:
    """Return the state after a request for tokens, and the answer; a refusal takes none.

    Args:
        state: What the limiter keeps.
        rule: The limit; it may differ from call to call.
        now: Epoch seconds. A time slightly before the latest grant counts as that; after a clock that went back
            by more than a window, earlier grants count as made now.
        cost: Tokens wanted, at least 1.

    Raises:
        ValueError: If limit, window or cost are not above 0.
    """
    if rule.limit < 1 or rule.window_s <= 0 or cost < 1:
        raise ValueError(f"limit, window and cost are above 0, not {rule!r} and {cost!r}")
    entries = state.entries
    if entries and now < entries[-1].last:
        if entries[-1].last - now <= rule.window_s:
            now = entries[-1].last
        else:
            entries = tuple(GrantedCalls(min(e.first, now), min(e.last, now), e.count) for e in entries)
    entries = tuple(e for e in entries if e.last + rule.window_s > now)
    left = max(0, rule.limit - sum(e.count for e in entries))
    if cost > left:
        return RateState(entries), RateAnswer(False, left, _after_s(entries, rule, now, cost))
    if entries and now - entries[-1].first < rule.window_s / GRAIN:
        entries = (*entries[:-1], GrantedCalls(entries[-1].first, now, entries[-1].count + cost))
    else:
        entries = (*entries, GrantedCalls(now, now, cost))
    return RateState(entries), RateAnswer(True, left - cost)


def give_back(state: RateState, *, at: float) -> RateState:
    """Return the state after a token is given back whose call never started.

    Args:
        state: What the limiter keeps.
        at: When it was taken; a token of an entry that is gone counts no more anyway.
    """
    for place, entry in enumerate(state.entries):
        if entry.first <= at <= entry.last:
            left = (GrantedCalls(entry.first, entry.last, entry.count - 1),) if entry.count > 1 else ()
            return RateState((*state.entries[:place], *left, *state.entries[place + 1 :]))
    return state


def _after_s(entries: tuple[GrantedCalls, ...], rule: RateRule, now: float, cost: int) -> float | None:
    if cost > rule.limit:
        return None
    live = sum(e.count for e in entries)
    for entry in entries:
        live -= entry.count
        if live + cost <= rule.limit:
            return entry.last + rule.window_s - now
    return None
