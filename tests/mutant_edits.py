"""What switched-off guards look like: each function makes the replacement of an original."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from runtime.core.effects import ApprovalAnswer, ToolResult, Wait, perform
from runtime.core.lanes import lane
from runtime.ports.control_values import ControlUnavailable

Make = Callable[[Any], Any]
"""Makes the replacement of an original."""


def returns(value: Any) -> Make:
    """Always answer the same."""
    return lambda original: lambda *arguments, **named: value


def answers(**fields: Any) -> Make:
    """Answer as the guard does, but with some fields of the answer changed."""

    def make(original: Any) -> Any:
        return lambda *arguments, **named: msgspec.structs.replace(original(*arguments, **named), **fields)

    return make


def pays_nothing(original: Any) -> Any:
    def settle(self: Any, lane: str, outcome: Any, **named: Any) -> None:
        self.release_all()

    return settle


def unbounded(original: Any) -> Any:
    async def bounded(work: Awaitable[Any], limit_s: float | None, **named: Any) -> Any:
        return await original(work, None, **named)

    return bounded


def patient(original: Any) -> Any:
    async def bounded(work: Awaitable[Any], limit_s: float | None, **named: Any) -> Any:
        return await asyncio.wait_for(work, limit_s)

    return bounded


def always_allowed(original: Any) -> Any:
    def ask(state: Any, rule: Any, **named: Any) -> Any:
        after, verdict = original(state, rule, **named)
        return after, msgspec.structs.replace(verdict, allowed=True)

    return ask


def any_generation(original: Any) -> Any:
    def report(state: Any, rule: Any, *, generation: int, **named: Any) -> Any:
        return original(state, rule, generation=state.generation, **named)

    return report


def neutral_fails(original: Any) -> Any:
    def sample(outcome: Any) -> Any:
        return "ok" if outcome.failure is None else "failed"

    return sample


def keeps_the_probe(original: Any) -> Any:
    def end(self: Any, grant: Any, lane: str, actual: Any, sample: str) -> None:
        if sample == "neutral":
            grant = dataclasses.replace(grant, breaker=None)
        original(self, grant, lane, actual, sample)

    return end


def believes_it_kept(original: Any) -> Any:
    def take(self: Any, event: Any) -> bool:
        original(self, event)
        return True

    return take


def never_stale(original: Any) -> Any:
    def board(self: Any, *, fresh: bool) -> Any:
        self._board_at = self._now()
        return original(self, fresh=fresh)

    return board


def old_board(original: Any) -> Any:
    def board(self: Any, *, fresh: bool) -> Any:
        try:
            return original(self, fresh=fresh)
        except ControlUnavailable:
            return self._board

    return board


def frees_the_slot(original: Any) -> Any:
    def settle(self: Any, lane: str, outcome: Any, *, abandoned: bool = False) -> None:
        original(self, lane, outcome)

    return settle


def at_the_start(original: Any) -> Any:
    return lambda found, now: original(found, 0.0)


def any_arguments(original: Any) -> Any:
    def decide(found: Any, *, args_hash: str, **named: Any) -> Any:
        return original(found, args_hash=args_hash if found is None else found.binding.args_hash, **named)

    return decide


def wall_time(original: Any) -> Any:
    return lambda self: self._clock.now().timestamp()


def one_tenant(original: Any) -> Any:
    return lambda tenant, environment, *parts: original("all", environment, *parts)


def one_scope(original: Any) -> Any:
    def get(self: Any, scope: Any) -> Any:
        first = next(iter(self._clients), scope)
        return original(self, first)

    return get


def own_budget(original: Any) -> Any:
    return lambda own, slice_, used: own


def own_policy(original: Any) -> Any:
    return lambda agent, parent: agent.policy


def from_nothing(original: Any) -> Any:
    def use(use: Any, caps: Any, amount: Any) -> Any:
        empty = msgspec.structs.replace(use, spent=type(amount)(), held=type(amount)())
        return original(empty, caps, amount)

    return use


def begun(original: Any) -> Any:
    return lambda cause, *, begun: original(cause, begun=True)


def no_deadline(original: Any) -> Any:
    def ask(self: Any, effect: Any) -> Any:
        header = self._guard.header
        budget = msgspec.structs.replace(header.budget, max_seconds=None)
        self._guard.header = msgspec.structs.replace(header, budget=budget)
        return original(self, effect)

    return ask


def unclamped(original: Any) -> Any:
    return lambda self, *, nanos, input_tokens: 2**31


def uncut(original: Any) -> Any:
    return lambda text, limit_bytes, put: original(text, 10**12, put)


def never_lost(original: Any) -> Any:
    def renew(self: Any) -> tuple[str, ...]:
        original(self)
        return ()

    return renew


def nothing_lost(original: Any) -> Any:
    return lambda self, allowance: None


def claim_ends_wrong(original: Any) -> Any:
    def end(found: Any, *, fencing: int, **named: Any) -> Any:
        return original(found, fencing=fencing if found is None else found.fencing, **named)

    return end


def always_granted(original: Any) -> Any:
    if original.__name__ == "use_approval":
        return answers(applied=True)(original)
    return returns(ApprovalAnswer(decision="granted", by="ann"))(original)


def no_pause(progress: Any, failure: Any, attempt: int, tried: int) -> Any:
    """Wait as long as the provider asks, whatever the deadline."""
    place = lane(progress.step, "wait", attempt=attempt + 1)
    outcome = yield from perform(Wait(lane=place, seconds=min(failure.after_s or 0.0, 0.01)))
    progress.see(outcome)
    return None


def many_slots(original: Any) -> Any:
    def acquire(db: Any, name: str, *, cap: int, **named: Any) -> Any:
        return original(db, name, cap=10**6, **named)

    return acquire


def repeats(original: Any) -> Any:
    """Repeat a write whose answer was lost: neither the flow nor the claim stands in the way."""
    return answers(verdict="won")(original) if original.__name__ == "claim" else returns(True)(original)


def leaves(original: Any) -> Any:
    """Raise what would end the process, as if nobody had caught it."""

    def failure_of(error: BaseException) -> Any:
        if not isinstance(error, Exception):
            raise error
        return original(error)

    return failure_of


def keeps_draft(original: Any) -> Any:
    """Make what a failed call put into the scratch count."""

    def failed(self: Any, message: str) -> str:
        self.ended(None, ToolResult(content=""))
        return str(original(self, message))

    return failed


def reserves_nothing(original: Any) -> Any:
    """Hold no part of what a call can use."""

    def worst(effect: Any) -> Any:
        return type(original(effect))()

    return worst


def unless_cancelled(original: Any) -> Any:
    """Leave the grant of a call whose caller went away to be released."""

    def settle(self: Any, lane: str, outcome: Any, **named: Any) -> None:
        if outcome.failure is None or outcome.failure.cause != "cancelled":
            original(self, lane, outcome, **named)

    return settle
