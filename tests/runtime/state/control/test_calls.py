"""What guards one call at once: the same answers as its parts singly, and nothing taken by a refusal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from runtime.control.breaker import BreakerRule, Sample
from runtime.control.ledger import NOTHING, Amount, Caps, SpendScope
from runtime.control.ratelimit import RateRule
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd
from runtime.state.control.blocking import BlockingControlStore
from tests.runtime.state.control.twin import TwinMachine, case_of

KEY = "acme/prod/tool/pay"
SCOPES = (SpendScope("acme/prod/run/1"), SpendScope("acme/prod/day/1", Caps(tool_calls=3)), SpendScope("*"))
BREAKER = BreakerRule(
    window_s=600.0, min_calls=2, failure_rate=0.5, cooldown_s=4.0, jitter=0.0, probe_ttl_s=3.0
)
RATE = RateRule(5, 8.0)
ONE_CALL = Amount(tool_calls=1)


def ask_of(number: int, **changes: Any) -> CallAsk:
    asked = CallAsk(
        key=KEY,
        token=f"t{number}",
        breaker=BREAKER,
        slots=2,
        slot_s=60.0,
        reservation=f"r{number}",
        scopes=SCOPES,
        amount=ONE_CALL,
        hold_s=60.0,
        rate=RATE,
    )
    return msgspec.structs.replace(asked, **changes)


def end_of(ask: CallAsk, answer: CallAnswer, actual: Amount | None, sample: Sample = "ok") -> CallEnd:
    return CallEnd(
        reservation=ask.reservation,
        actual=actual,
        breaker=None if answer.breaker is None else ask.breaker,
        key=ask.key,
        generation=0 if answer.breaker is None else answer.breaker.generation,
        sample=sample,
        token=ask.token,
        slot=None if answer.slot is None else answer.slot.lease,
    )


def state_of(store: BlockingControlStore, now: float) -> tuple[object, ...]:
    """Return all that a call may take; the rate is seen by whoever asks next."""
    return (
        store.read_spend(tuple(scope.key for scope in SCOPES), now=now),
        [use.key for use in store.list_spend(now=now)],
        store.count_leases(KEY, now=now),
        store.list_breakers(),
    )


def trip(store: BlockingControlStore, now: float) -> None:
    for _ in range(2):
        store.report_breaker(KEY, BREAKER, now=now, generation=0, sample="failed", token="t")


@pytest.mark.parametrize("full", ["breaker", "slot", "spend", "rate"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_call_that_is_refused_leaves_everything_as_it_was(
    store: BlockingControlStore, full: str, fresh: bool
) -> None:
    if not fresh:
        before = ask_of(0)
        store.end_calls((end_of(before, store.admit_call(before, now=1.0), ONE_CALL),), now=1.0)
    match full:
        case "breaker":
            trip(store, 1.0)
        case "slot":
            for owner in "ab":
                store.acquire_lease(KEY, cap=2, owner=owner, now=1.0, ttl_s=60.0)
        case "spend":
            store.reserve_spend(
                "full", (SCOPES[1],), Amount(tool_calls=3 if fresh else 2), now=1.0, ttl_s=60.0
            )
        case _:
            store.take_rate(KEY, RATE, now=1.0, cost=5 if fresh else 4)
    left = state_of(store, 2.0)

    answer = store.admit_call(ask_of(1), now=2.0)

    assert answer.refused == full
    assert state_of(store, 2.0) == left


def test_a_refused_probe_is_left_to_the_next_caller(store: BlockingControlStore) -> None:
    trip(store, 1.0)

    refused = store.admit_call(ask_of(1, scopes=(SpendScope("x", Caps(tool_calls=0)),)), now=9.0)
    probe = store.admit_call(ask_of(2), now=9.0)
    other = store.admit_call(ask_of(3), now=9.0)

    assert (refused.refused, probe.refused, other.refused) == ("spend", None, "breaker")
    assert probe.breaker is not None
    assert probe.breaker.probe


def test_a_call_that_is_asked_for_twice_holds_its_money_once(store: BlockingControlStore) -> None:
    answers = [store.admit_call(ask_of(1, slots=None, rate=None), now=1.0) for _ in range(2)]

    assert [a.spend is not None and a.spend.repeated for a in answers] == [False, True]
    assert store.read_spend(("*",), now=1.0)[0].held == ONE_CALL


@pytest.mark.parametrize(("actual", "spent"), [(Amount(5, 7, 1), Amount(5, 7, 1)), (None, NOTHING)])
def test_a_call_that_ends_gives_back_all_it_held_and_a_second_end_does_nothing(
    store: BlockingControlStore, actual: Amount | None, spent: Amount
) -> None:
    ask = ask_of(1)
    answer = store.admit_call(ask, now=1.0)

    for _ in range(2):
        store.end_calls((end_of(ask, answer, actual, "neutral"),), now=2.0)

    (use,) = store.read_spend(("*",), now=2.0)
    assert (use.spent, use.held, store.count_leases(KEY, now=2.0)) == (spent, NOTHING, 0)


def test_a_call_with_an_amount_that_cannot_be_is_refused_as_a_mistake(store: BlockingControlStore) -> None:
    with pytest.raises(ValueError, match="amount"):
        store.admit_call(ask_of(1, amount=Amount(-1)), now=1.0)

    assert state_of(store, 1.0) == (store.read_spend(tuple(s.key for s in SCOPES), now=1.0), [], 0, ())


class CallMachine(TwinMachine):
    """Whole calls on one store of each kind, beside operations on their parts: both stores always agree."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.running: list[tuple[CallAsk, CallAnswer]] = []

    @rule(
        breaker=st.booleans(), slots=st.sampled_from([None, 1, 3]), rate=st.booleans(), capped=st.booleans()
    )
    def admit(self, breaker: bool, slots: int | None, rate: bool, capped: bool) -> None:
        self.count += 1
        ask = ask_of(
            self.count,
            breaker=BREAKER if breaker else None,
            slots=slots,
            rate=RATE if rate else None,
            hold_s=6.0,
            scopes=SCOPES if capped else (SCOPES[0], SCOPES[2]),
        )
        left = self.both(lambda s: state_of(s, self.now))

        answer = self.both(lambda s: s.admit_call(ask, now=self.now))

        if answer.refused is None:
            self.running.append((ask, answer))
        else:
            assert self.both(lambda s: state_of(s, self.now)) == left

    @precondition(lambda self: bool(self.running))
    @rule(
        pick=st.integers(0, 20),
        sample=st.sampled_from(["ok", "failed", "neutral"]),
        started=st.booleans(),
        keeps=st.booleans(),
    )
    def end(self, pick: int, sample: Sample, started: bool, keeps: bool) -> None:
        ask, answer = self.running[pick % len(self.running)] if keeps else self.running.pop()

        self.both(
            lambda s: s.end_calls((end_of(ask, answer, ONE_CALL if started else None, sample),), now=self.now)
        )

        (use,) = self.both(lambda s: s.read_spend((SCOPES[1].key,), now=self.now))
        assert 0 <= use.held.tool_calls <= 3
        self.both(lambda s: state_of(s, self.now))

    @rule(calls=st.integers(0, 4))
    def cap(self, calls: int) -> None:
        self.both(lambda s: s.put_caps("*", None if calls == 4 else Caps(tool_calls=calls)))


TestCalls = case_of(CallMachine)
