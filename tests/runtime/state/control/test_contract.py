"""The contract of every control store, operation by operation, where the state machines do not look."""

from __future__ import annotations

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import LARGEST, Amount, Caps, SpendScope
from runtime.control.scopes import GLOBAL, day_scope, run_scope
from runtime.core.effects import ToolResult
from runtime.ports.control_values import Act, Checkpoint, Run, RunKey
from runtime.state.control.blocking import BlockingControlStore

KEY = RunKey(tenant="acme", environment="prod", request_id="req_1")
RUN = Run(key=KEY, run_id="run_1", agent="support", started_at=10.0, payload_hash="p1", alive_until=20.0)


def reserve(store: BlockingControlStore, name: str, nanos: int, *scopes: SpendScope) -> bool:
    return store.reserve_spend(name, scopes, Amount(nanos), now=1.0, ttl_s=60.0).granted


def test_children_share_their_parents_budget(store: BlockingControlStore) -> None:
    parent = SpendScope(run_scope("acme", "prod", "req_1"), Caps(nanos=5))
    day, everything = SpendScope(day_scope("acme", "prod", 1.0)), SpendScope(GLOBAL)

    granted = [
        reserve(
            store,
            f"child{n}",
            1,
            SpendScope(run_scope("acme", "prod", f"req_1/{n}"), Caps(nanos=3)),
            parent,
            day,
            everything,
        )
        for n in range(20)
    ]

    assert granted.count(True) == 5


def test_a_refused_reservation_holds_nothing_anywhere(store: BlockingControlStore) -> None:
    answer = store.reserve_spend(
        "r", (SpendScope("a"), SpendScope("b", Caps(nanos=9))), Amount(10, 4), now=1.0, ttl_s=60.0
    )

    assert answer.refusal is not None
    assert (answer.refusal.scope, answer.refusal.unit) == ("b", "nanos")
    assert (answer.refusal.cap, answer.refusal.used, answer.refusal.requested) == (9, 0, 10)
    assert [use.held for use in store.read_spend(("a", "b"), now=1.0)] == [Amount(), Amount()]


def test_a_bill_above_its_reservation_is_written_down_and_told(store: BlockingControlStore) -> None:
    cap = SpendScope("a", Caps(nanos=10))
    reserve(store, "r", 10, cap)

    settled = store.settle_spend("r", Amount(12, 7), now=2.0)

    assert settled.over == Amount(2, 7)
    assert store.read_spend(("a",), now=2.0)[0].spent == Amount(12, 7)
    assert not reserve(store, "next", 1, cap)
    assert reserve(store, "free", 0, cap)


def test_an_operators_cap_replaces_the_callers_until_it_is_removed(store: BlockingControlStore) -> None:
    scope = SpendScope("a", Caps(nanos=10))
    store.put_caps("a", Caps(nanos=3))
    lowered = [reserve(store, f"low{n}", 2, scope) for n in range(2)]
    store.put_caps("a", Caps(nanos=20))
    raised = reserve(store, "high", 12, scope)
    store.put_caps("a", None)

    assert (lowered, raised) == ([True, False], True)
    assert not reserve(store, "after", 1, scope)
    assert store.read_spend(("a",), now=1.0)[0].caps == Caps(nanos=10)


def test_a_low_estimate_of_a_dead_call_makes_room_for_the_next(store: BlockingControlStore) -> None:
    scope = (SpendScope("a", Caps(nanos=10)),)
    store.reserve_spend("dead", scope, Amount(10), now=1.0, ttl_s=5.0, estimate=Amount(4))

    early = store.reserve_spend("next", scope, Amount(6), now=5.0, ttl_s=5.0).granted
    late = store.reserve_spend("next", scope, Amount(6), now=6.0, ttl_s=5.0).granted

    assert (early, late) == (False, True)


@pytest.mark.parametrize("settles", [True, False])
def test_a_settlement_that_comes_after_the_expiry_leaves_the_estimate(
    store: BlockingControlStore, settles: bool
) -> None:
    store.reserve_spend("r", (SpendScope("a"),), Amount(10), now=1.0, ttl_s=5.0, estimate=Amount(4))

    late = store.settle_spend("r", Amount(1), now=6.0) if settles else store.release_spend("r", now=6.0)

    (use,) = store.read_spend(("a",), now=6.0)
    assert (late.applied, late.state) == (False, "expired")
    assert (use.spent, use.held) == (Amount(4), Amount())


def test_scopes_are_listed_by_prefix_and_pruning_keeps_the_sums(store: BlockingControlStore) -> None:
    for name, key in (("r1", "acme/prod/run/1"), ("r2", "acme/prod/run/2"), ("r3", "evil/prod/run/1")):
        reserve(store, name, 4, SpendScope(key))
    store.settle_spend("r1", Amount(3), now=1.0)

    pruned = [store.prune_spend(before=at) for at in (61.0, 61.1)]

    assert pruned == [0, 1]
    assert [(use.key, use.spent.nanos) for use in store.list_spend(now=1.0, prefix="acme/")] == [
        ("acme/prod/run/1", 3),
        ("acme/prod/run/2", 0),
    ]
    assert len(store.list_spend(now=1.0, limit=1)) == 1


def test_pruning_forgets_no_more_than_asked_at_a_time_and_no_open_hold(store: BlockingControlStore) -> None:
    for name in ("r1", "r2", "r3", "r4"):
        reserve(store, name, 4, SpendScope("acme/prod/run/1"))
    for name in ("r1", "r2", "r3"):
        store.settle_spend(name, Amount(1), now=1.0)

    pruned = [store.prune_spend(before=99.0, limit=2) for _ in range(3)]

    assert pruned == [2, 1, 0]
    assert store.settle_spend("r4", Amount(1), now=2.0).applied


@pytest.mark.parametrize(
    ("scopes", "amount", "estimate"),
    [
        ((), Amount(1), None),
        ((SpendScope("a"), SpendScope("a")), Amount(1), None),
        ((SpendScope("a"),), Amount(-1), None),
        ((SpendScope("a"),), Amount(1), Amount(2)),
        ((SpendScope("a"),), Amount(LARGEST + 1), None),
    ],
)
def test_a_reservation_that_cannot_be_is_refused_as_a_mistake(
    store: BlockingControlStore, scopes: tuple[SpendScope, ...], amount: Amount, estimate: Amount | None
) -> None:
    with pytest.raises(ValueError, match=r"amount|scopes"):
        store.reserve_spend("r", scopes, amount, now=1.0, ttl_s=9.0, estimate=estimate)


def test_a_paused_owner_cannot_complete_after_another_took_over(store: BlockingControlStore) -> None:
    first = store.claim("k", args_hash="a", owner="w1", now=1.0, lease_s=5.0, repeatable=True)
    second = store.claim("k", args_hash="a", owner="w2", now=6.0, lease_s=5.0, repeatable=True)

    late = store.end_claim(
        "k", fencing=first.claim.fencing, state="done", now=7.0, result=ToolResult(content="w1")
    )
    in_time = store.end_claim(
        "k", fencing=second.claim.fencing, state="done", now=8.0, result=ToolResult(content="w2")
    )

    assert (late.applied, late.why, in_time.applied) == (False, "fenced", True)
    found = store.lookup_claim("k", now=99.0)
    assert found is not None
    assert found.result == ToolResult(content="w2")


def test_the_late_outcome_of_an_abandoned_call_is_recorded_against_its_key(
    store: BlockingControlStore,
) -> None:
    won = store.claim("k", args_hash="a", owner="w1", now=1.0, lease_s=5.0)
    store.end_claim("k", fencing=won.claim.fencing, state="in_doubt", now=2.0, note="timed out")

    late = store.end_claim(
        "k", fencing=won.claim.fencing, state="done", now=30.0, result=ToolResult(content="done")
    )
    again = store.claim("k", args_hash="a", owner="w2", now=31.0, lease_s=5.0)

    assert late.applied
    assert (again.verdict, again.claim.result) == ("done", ToolResult(content="done"))


def test_claims_in_doubt_are_listed_for_whoever_is_on_call(store: BlockingControlStore) -> None:
    for key in ("lapsed", "told", "alive"):
        store.claim(key, args_hash="a", owner="w", now=1.0, lease_s=50.0 if key == "alive" else 5.0)
    store.end_claim("told", fencing=1, state="in_doubt", now=2.0)

    listed = {
        state: [c.key for c in store.list_claims(state=state, now=6.0)] for state in ("claimed", "in_doubt")
    }

    assert listed == {"claimed": ["alive"], "in_doubt": ["lapsed", "told"]}
    assert store.list_claims(state="done", now=6.0) == ()


def test_a_result_is_needed_to_answer_the_next_claim(store: BlockingControlStore) -> None:
    store.claim("k", args_hash="a", owner="w", now=1.0, lease_s=5.0)

    with pytest.raises(ValueError, match="result"):
        store.end_claim("k", fencing=1, state="done", now=2.0)
    with pytest.raises(ValueError, match="result"):
        store.reconcile_claim("k", happened=True, by="check", now=9.0)


def test_a_run_is_opened_once_for_its_tenant_and_another_payload_is_a_conflict(
    store: BlockingControlStore,
) -> None:
    other_tenant = RunKey(tenant="evil", environment="prod", request_id="req_1")

    opened = [
        store.open_run(run)
        for run in (
            RUN,
            Run(key=KEY, run_id="run_2", agent="support", started_at=11.0, payload_hash="p1"),
            Run(key=KEY, run_id="run_3", agent="support", started_at=12.0, payload_hash="p2"),
            Run(key=other_tenant, run_id="run_4", agent="support", started_at=13.0),
        )
    ]

    assert [each.first for each in opened] == [True, False, False, True]
    assert [each.conflict for each in opened] == [False, False, True, False]
    assert [each.run.run_id for each in opened] == ["run_1", "run_1", "run_1", "run_4"]
    assert [run.run_id for run in store.find_runs("req_1")] == ["run_1", "run_4"]
    assert [run.run_id for run in store.list_runs()] == ["run_4", "run_1"]
    assert [run.run_id for run in store.list_runs(tenant="acme", open_only=True)] == ["run_1"]


def test_a_stop_reason_is_set_once(store: BlockingControlStore) -> None:
    store.open_run(RUN)

    first = store.stop_run(KEY, fencing=1, stop_reason="finish", now=15.0)
    second = store.stop_run(KEY, fencing=1, stop_reason="operator_kill", now=16.0)

    assert (first.applied, second.applied) == (True, False)
    assert second.run is not None
    assert (second.run.stop_reason, second.run.ended_at) == ("finish", 15.0)
    assert store.list_runs(open_only=True) == ()
    assert not store.beat_run(KEY, fencing=1, alive_until=99.0)


def test_a_run_that_is_not_heard_of_crashed_and_a_parked_one_did_not(store: BlockingControlStore) -> None:
    parked = RunKey(tenant="acme", environment="prod", request_id="req_2")
    store.open_run(RUN)
    store.open_run(Run(key=parked, run_id="run_2", agent="support", started_at=10.0, alive_until=20.0))
    store.beat_run(parked, fencing=1, alive_until=None)

    swept = [[run.run_id for run in store.sweep_runs(now=now)] for now in (19.9, 20.0, 99.0)]

    assert swept == [[], ["run_1"], []]
    assert store.find_runs("req_1")[0].stop_reason == "crashed"


def test_a_crashed_run_is_taken_over_and_its_old_owner_says_nothing_more(store: BlockingControlStore) -> None:
    store.open_run(RUN)
    while_alive = store.resume_run(KEY, now=19.0, alive_until=30.0)
    store.sweep_runs(now=20.0)

    taken = store.resume_run(KEY, now=21.0, alive_until=30.0)
    old = store.stop_run(KEY, fencing=1, stop_reason="finish", now=22.0)
    new = store.stop_run(KEY, fencing=2, stop_reason="finish", now=23.0)

    assert while_alive is None
    assert taken is not None
    assert (taken.fencing, taken.stop_reason) == (2, None)
    assert (old.applied, new.applied) == (False, True)
    assert store.resume_run(KEY, now=99.0, alive_until=None) is None


def test_a_silent_owner_that_was_swept_goes_on_and_says_how_it_ended(store: BlockingControlStore) -> None:
    store.open_run(RUN)
    store.sweep_runs(now=20.0)

    heard = store.beat_run(KEY, fencing=1, alive_until=40.0)
    between = store.find_runs("req_1")[0].stop_reason
    store.sweep_runs(now=40.0)
    ended = store.stop_run(KEY, fencing=1, stop_reason="finish", now=41.0)

    assert (heard, between, ended.applied) == (True, None, True)
    assert store.find_runs("req_1")[0].stop_reason == "finish"


def test_checkpoints_of_a_chain_only_go_forward(store: BlockingControlStore) -> None:
    points = [Checkpoint(chain="audit", seq=seq, digest=f"d{seq}", at=1.0) for seq in (1, 5, 5, 3, 9)]

    appended = [store.append_checkpoint(point) for point in points]

    assert appended == [True, True, False, False, True]
    assert [point.seq for point in store.list_checkpoints("audit")] == [1, 5, 9]
    assert store.list_checkpoints("other") == ()


def test_breakers_are_listed_with_their_phase(store: BlockingControlStore) -> None:
    rule = BreakerRule(min_calls=1)
    for key, sample in (("acme/prod/tool/a", "failed"), ("acme/prod/tool/b", "ok"), ("evil/x", "ok")):
        store.report_breaker(key, rule, now=1.0, generation=0, sample=sample, token="t")  # type: ignore[arg-type]  # literals

    views = [(view.key, view.phase, view.trips) for view in store.list_breakers(prefix="acme/")]

    assert views == [("acme/prod/tool/a", "open", 1), ("acme/prod/tool/b", "closed", 0)]


def test_breakers_of_different_keys_probe_at_different_times(store: BlockingControlStore) -> None:
    rule = BreakerRule(min_calls=1)
    for n in range(20):
        store.report_breaker(f"b{n}", rule, now=1.0, generation=0, sample="failed", token="t")

    retries = [view.retry_at for view in store.list_breakers()]

    assert max(retries) - min(retries) >= 0.1 * rule.cooldown_s


def test_an_operator_closes_a_breaker_and_late_results_do_not_trip_it_again(
    store: BlockingControlStore,
) -> None:
    rule = BreakerRule(min_calls=1)
    store.report_breaker("b", rule, now=1.0, generation=0, sample="failed", token="t")

    closed = [store.close_breaker(key) for key in ("b", "b", "unknown")]
    late = store.report_breaker("b", rule, now=2.0, generation=1, sample="failed", token="t")
    verdict = store.ask_breaker("b", rule, now=2.0, token="u")

    assert closed == [True, False, False]
    assert (late, verdict.allowed, verdict.probe) == ("closed", True, False)
    assert [(view.key, view.phase, view.trips) for view in store.list_breakers()] == [("b", "closed", 1)]


def test_acts_of_operators_are_kept_in_their_order(store: BlockingControlStore) -> None:
    acts = [Act(at=float(n), by="ana", action="kill", subject=f"run r{n}", reason="why") for n in range(12)]
    for act in acts:
        store.note_act(act)

    assert store.list_acts() == tuple(reversed(acts))
    assert store.list_acts(limit=1) == (acts[-1],)
