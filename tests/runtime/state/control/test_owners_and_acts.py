"""The contract of every control store: what operators did, which workers live, and who may act for a run."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from runtime.control.approvals import Binding
from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Caps
from runtime.control.switches import Switch, SwitchRef
from runtime.ports.control_values import (
    Act,
    Run,
    RunKey,
    RunOwner,
    RunTakenOver,
    SwitchesChanged,
    Worker,
)
from runtime.state.control.blocking import BlockingControlStore

KEY = RunKey(tenant="acme", environment="prod", request_id="req_1")
RUN = Run(key=KEY, run_id="run_1", agent="support", started_at=10.0, payload_hash="p1", alive_until=20.0)


def act(action: str) -> Act:
    return Act(at=1.0, by="ana", how="uid 7", action=action, subject="it", reason="incident")


def test_an_act_is_kept_in_the_operation_that_makes_its_change(store: BlockingControlStore) -> None:
    ref = SwitchRef(scope="tool", name="pay")
    store.put_switch(Switch(ref=ref, by="ana", reason="", at=1.0), act=act("disable"))
    store.clear_switch(ref, act=act("enable"))
    store.put_caps("a", Caps(nanos=1), act=act("caps"))
    store.report_breaker("b", BreakerRule(min_calls=1), now=1.0, generation=0, sample="failed", token="t")
    store.close_breaker("b", act=act("close-breaker"))
    store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=1.0)
    store.reconcile_claim("k", happened=False, by="ana", now=9.0, act=act("settle"))

    kept = [(each.seq, each.action, each.how) for each in reversed(store.list_acts())]

    actions = ["disable", "enable", "caps", "close-breaker", "settle"]
    assert kept == [(n, action, "uid 7") for n, action in enumerate(actions, 1)]


def test_what_changes_nothing_is_no_act(store: BlockingControlStore) -> None:
    store.clear_switch(SwitchRef(scope="tool", name="pay"), act=act("enable"))
    store.close_breaker("b", act=act("close-breaker"))
    store.reconcile_claim("k", happened=False, by="ana", now=9.0, act=act("settle"))
    store.decide_approval("none", decision="granted", by="ana", args_hash="a", now=1.0, act=act("approve"))

    assert store.list_acts() == ()


def test_a_reader_gets_each_act_until_it_has_marked_it(store: BlockingControlStore) -> None:
    for n in range(5):
        store.note_act(act(f"act {n}"))
    first = store.unread_acts("log", limit=3)
    store.mark_acts("log", seq=first[-1].seq)
    store.mark_acts("log", seq=1)  # a late mark takes nothing back

    assert [each.action for each in first] == ["act 0", "act 1", "act 2"]
    assert [each.action for each in store.unread_acts("log")] == ["act 3", "act 4"]
    assert len(store.unread_acts("other")) == 5


def test_workers_are_listed_while_they_are_alive_with_the_switches_they_act_on(
    store: BlockingControlStore,
) -> None:
    store.beat_worker(Worker(id="b", epoch=1, alive_until=10.0))
    store.beat_worker(Worker(id="a", epoch=1, alive_until=20.0))
    store.beat_worker(Worker(id="a", epoch=2, alive_until=30.0))
    early, late = (store.list_workers(now=at) for at in (9.0, 10.0))
    store.end_worker("a")

    assert [(w.id, w.epoch) for w in early] == [("a", 2), ("b", 1)]
    assert [w.id for w in late] == ["a"]
    assert [w.id for w in store.list_workers(now=9.0)] == ["b"]


def test_a_run_that_was_taken_over_starts_nothing_more(store: BlockingControlStore) -> None:
    store.open_run(RUN)
    store.resume_run(KEY, now=30.0, alive_until=90.0)
    binding = Binding(
        tenant="acme",
        environment="prod",
        request_id="req_1",
        lane="l",
        tool="t",
        args_hash="a",
        policy_hash="p",
    )

    for fencing, refused in ((1, True), (2, False)):
        owner = RunOwner(key=KEY, fencing=fencing)
        with pytest.raises(RunTakenOver) if refused else nullcontext():
            store.claim(f"k{fencing}", args_hash="a", owner="o", now=31.0, lease_s=9.0, run=owner)
        with pytest.raises(RunTakenOver) if refused else nullcontext():
            store.open_approval(binding, arguments={}, now=31.0, ttl_s=9.0, run=owner)
        with pytest.raises(RunTakenOver) if refused else nullcontext():
            store.use_approval("none", binding=binding, now=31.0, run=owner)

    assert store.lookup_claim("k1", now=31.0) is None
    assert store.lookup_claim("k2", now=31.0) is not None


def test_a_claim_under_switches_that_have_changed_is_refused_and_leaves_nothing(
    store: BlockingControlStore,
) -> None:
    epoch = store.read_switches().epoch
    store.put_switch(Switch(ref=SwitchRef(scope="global"), by="ana", reason="", at=1.0))

    with pytest.raises(SwitchesChanged):
        store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=9.0, epoch=epoch)
    again = store.claim(
        "k", args_hash="a", owner="o", now=1.0, lease_s=9.0, epoch=store.read_switches().epoch
    )

    assert again.verdict == "won"
