"""Approvals and switches against dictionaries: decided once, used once, never late; read as last written."""

from __future__ import annotations

from typing import Literal

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from runtime.control.approvals import Binding, approval_id
from runtime.control.switches import Switch, SwitchRef
from runtime.ports.control_values import RunKey
from tests.runtime.state.control.twin import TwinMachine, case_of

BINDINGS = [
    Binding(
        tenant="acme",
        environment="prod",
        request_id=run,
        lane="1.approval0/1",
        tool="pay",
        args_hash=args,
        policy_hash="p",
    )
    for run in ("req_1", "req_2")
    for args in ("a1", "a2")
]
bindings = st.sampled_from(BINDINGS)


class ApprovalMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.states: dict[Binding, str] = {}
        self.until: dict[Binding, float] = {}
        self.uses = dict.fromkeys(BINDINGS, 0)

    def stands(self, binding: Binding) -> str:
        """Return an approval's state now."""
        state = self.states.get(binding, "unknown")
        return "expired" if state in ("pending", "granted") and self.until[binding] <= self.now else state

    @rule(binding=bindings)
    def open(self, binding: Binding) -> None:
        stands = self.stands(binding)

        found = self.both(
            lambda s: s.open_approval(binding, arguments={"eur": 4}, now=self.now, ttl_s=6.0, usable_s=4.0)
        )

        assert found.state == ("pending" if stands == "unknown" else stands)
        if stands == "unknown":
            self.states[binding], self.until[binding] = "pending", self.now + 6.0

    @rule(
        binding=bindings, decision=st.sampled_from(["granted", "denied"]), shown=st.sampled_from(["a1", "a2"])
    )
    def decide(self, binding: Binding, decision: Literal["granted", "denied"], shown: str) -> None:
        stands = self.stands(binding)

        change = self.both(
            lambda s: s.decide_approval(
                approval_id(binding), decision=decision, by="ana", args_hash=shown, now=self.now
            )
        )

        assert change.applied == (stands == "pending" and shown == binding.args_hash)
        assert change.applied == (change.why is None)
        if change.applied:
            self.states[binding], self.until[binding] = decision, self.now + 4.0

    @rule(binding=bindings, field=st.sampled_from([None, None, "args_hash", "policy_hash", "tool"]))
    def use(self, binding: Binding, field: str | None) -> None:
        stands = self.stands(binding)
        call = binding if field is None else msgspec.structs.replace(binding, **{field: "other"})

        change = self.both(lambda s: s.use_approval(approval_id(binding), binding=call, now=self.now))

        assert change.applied == (stands == "granted" and field is None)
        if change.applied:
            self.states[binding] = "used"
            self.uses[binding] += 1
        elif stands == "granted" and field != "tool":
            self.states[binding] = "void"

    @rule()
    def expire(self) -> None:
        due = [b for b, state in self.states.items() if state != "expired" and self.stands(b) == "expired"]

        count = self.both(lambda s: s.expire_approvals(now=self.now))

        assert count <= len(due)
        assert self.both(lambda s: s.expire_approvals(now=self.now)) == 0

    @rule(run=st.sampled_from(["req_1", "req_2"]))
    def run_ends(self, run: str) -> None:
        waiting = [b for b in self.states if b.request_id == run and self.stands(b) in ("pending", "granted")]

        key = RunKey(tenant="acme", environment="prod", request_id=run)

        assert self.both(lambda s: s.void_approvals(key, now=self.now)) == len(waiting)
        self.states.update(dict.fromkeys(waiting, "void"))

    @invariant()
    def each_is_used_once_at_most_and_stands_as_in_the_model(self) -> None:
        assert max(self.uses.values()) <= 1
        listed = self.both(lambda s: s.list_approvals(now=self.now, state=None))
        assert {a.binding: a.state for a in listed} == {b: self.stands(b) for b in self.states}
        waiting = self.both(lambda s: s.list_approvals(now=self.now))
        assert {a.binding for a in waiting} == {b for b in self.states if self.stands(b) == "pending"}


refs = st.one_of(
    st.just(SwitchRef(scope="global")),
    st.builds(
        lambda scope, name, tenant: SwitchRef(scope=scope, name=name, tenant=tenant),
        st.sampled_from(["tenant", "agent", "tool", "run"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, "acme"]),
    ),
)


class SwitchMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pulled: dict[SwitchRef, Switch] = {}
        self.epoch = 0

    @rule(ref=refs, by=st.sampled_from(["ana", "bob"]))
    def pull(self, ref: SwitchRef, by: str) -> None:
        switch = Switch(ref=ref, by=by, reason="incident", at=self.now)

        self.epoch += 1
        self.pulled[ref] = switch

        assert self.both(lambda s: s.put_switch(switch)) == self.epoch

    @rule(ref=refs)
    def clear(self, ref: SwitchRef) -> None:
        self.epoch += self.pulled.pop(ref, None) is not None

        assert self.both(lambda s: s.clear_switch(ref)) == self.epoch

    @invariant()
    def read_is_what_was_written_last(self) -> None:
        board = self.both(lambda s: s.read_switches())

        assert board.epoch == self.epoch
        assert {switch.ref: switch for switch in board.switches} == self.pulled
        assert len(board.switches) == len(self.pulled)


TestApprovals = case_of(ApprovalMachine)
TestSwitches = case_of(SwitchMachine)
