"""The shape of a diff: `TraceDiff` and its `goldrun.diff/1` document.

Calls are all calls of a run in order: for each step the model call, then its tool calls. Stretches of equal
calls are kept as runs and spelled out only when somebody reads `calls`, so a diff of two long traces with one
change costs little more than finding the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import msgspec

from runtime.core.money import usd_text
from runtime.core.run import Totals
from runtime.core.trace import ModelStep, ToolStep, Trace

SCHEMA = "goldrun.diff/1"

Call = ModelStep | ToolStep
Op = Literal["same", "changed", "moved", "added", "removed", "repeated"]
Verdict = Literal["same", "changed", "regressed", "not_comparable"]
OPS: tuple[Op, ...] = ("same", "changed", "moved", "added", "removed", "repeated")


class Change(msgspec.Struct, frozen=True):
    """One field that differs inside an aligned pair; a side that lacks it is `msgspec.UNSET`."""

    path: str
    a: Any
    b: Any


class Delta(msgspec.Struct, frozen=True):
    """What B used more than A; `None` where one side is unknown."""

    nanousd: int | None
    tokens: int | None
    seconds: float | None


class CallDiff(msgspec.Struct, frozen=True, kw_only=True):
    """One call of A, of B, or of both.

    Attributes:
        op: What became of it; `moved` may have changes too, `repeated` is an added call like the one before.
        a: Index among all calls of A; `None` for added and repeated calls.
        b: Index among all calls of B; `None` for removed calls.
        name: Tool or model name, B's where there is a B.
        write: Whether it is a tool call with effects outside.
        changes: Fields that differ.
        delta: B minus A; all of B for an added call, minus all of A for a removed one.
    """

    op: Op
    a: int | None
    b: int | None
    name: str
    write: bool = False
    changes: tuple[Change, ...] = ()
    delta: Delta


class SameRun(msgspec.Struct, frozen=True):
    """A stretch of equal calls: `count` calls from `a` in A and from `b` in B on."""

    a: int
    b: int
    count: int


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Where two runs first part.

    `path` names the field; `stop_reason` or `output`, with no positions, where all calls are the same.
    """

    op: Op | None = None
    a: int | None = None
    b: int | None = None
    name: str | None = None
    path: str | None = None


class TraceDiff(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Two runs compared: A is the baseline, B the candidate.

    Conservation: same + changed + moved + removed are the calls of A; same + changed + moved + added +
    repeated are the calls of B; the deltas of the calls add up to `delta`.

    Attributes:
        a: The baseline.
        b: The candidate.
        verdict: What it comes to; `harness.diff.verdict` states the rules.
        causes: Why it is `regressed` or `not_comparable`.
        comparability: Reasons to mistrust the comparison, most weighty first.
        entries: All calls in B's order; removed calls stand where they were.
        first_divergence: Where the runs first part, if they do.
    """

    a: Trace
    b: Trace
    verdict: Verdict
    causes: tuple[str, ...]
    comparability: tuple[str, ...]
    entries: tuple[SameRun | CallDiff, ...]
    first_divergence: Divergence | None

    @cached_property
    def calls(self) -> tuple[CallDiff, ...]:
        """Every call, the equal ones too."""
        return tuple(self._spelled_out())

    @cached_property
    def counts(self) -> dict[Op, int]:
        """How many calls each op has; every op is there."""
        counts: dict[Op, int] = dict.fromkeys(OPS, 0)
        for entry in self.entries:
            if isinstance(entry, SameRun):
                counts["same"] += entry.count
            else:
                counts[entry.op] += 1
        return counts

    @cached_property
    def delta(self) -> Delta:
        """What the calls of B used more than those of A; `None` where the use of one call is unknown."""
        return spent_delta(flatten(self.a), flatten(self.b))

    def run_delta(self, run: SameRun) -> Delta:
        """Return what a stretch of equal calls used more in B than in A."""
        ours = flatten(self.a)[run.a : run.a + run.count]
        return spent_delta(ours, flatten(self.b)[run.b : run.b + run.count])

    def _spelled_out(self) -> Iterator[CallDiff]:
        ours, theirs = flatten(self.a), flatten(self.b)
        for entry in self.entries:
            if isinstance(entry, CallDiff):
                yield entry
                continue
            for k in range(entry.count):
                before, now = ours[entry.a + k], theirs[entry.b + k]
                yield CallDiff(
                    op="same",
                    a=entry.a + k,
                    b=entry.b + k,
                    name=name_of(now),
                    write=is_write(now),
                    delta=call_delta(before, now),
                )


def flatten(trace: Trace) -> list[Call]:
    """Return all calls of a run: for each step the model call, then its tool calls."""
    calls: list[Call] = []
    for step in trace.steps:
        if step.model is not None:
            calls.append(step.model)
        calls += step.tool_calls
    return calls


def name_of(call: Call) -> str:
    """Return the tool's name, or the name of the requested model."""
    return call.name if isinstance(call, ToolStep) else call.request_model


def is_write(call: Call) -> bool:
    """Return whether a call is a tool call with effects outside."""
    return isinstance(call, ToolStep) and call.write


def call_delta(a: Call | None, b: Call | None) -> Delta:
    """Return what a call of B used more than its partner of A; a side that is not there used nothing."""
    return spent_delta([] if a is None else [a], [] if b is None else [b])


def spent_delta(a: list[Call], b: list[Call]) -> Delta:
    """Return what some calls of B used more than some calls of A."""
    before, now = _spent(a), _spent(b)
    seconds = None if before.seconds is None or now.seconds is None else now.seconds - before.seconds
    return Delta(_minus(now.nanousd, before.nanousd), _minus(now.tokens, before.tokens), seconds)


def _spent(calls: list[Call]) -> Delta:
    nanousd: int | None = 0
    tokens: int | None = 0
    seconds: float | None = 0.0
    for call in calls:
        if isinstance(call, ToolStep):
            used = call.duration_s if call.attempts else 0.0
            nanousd = None if nanousd is None else nanousd + (call.cost_nanousd or 0)
        else:
            used = call.duration_s
            cost, got, sent = call.cost_nanousd, call.input_tokens, call.output_tokens
            nanousd = None if nanousd is None or cost is None else nanousd + cost
            tokens = None if tokens is None or got is None or sent is None else tokens + got + sent
        seconds = None if seconds is None or used is None else seconds + used
    return Delta(nanousd, tokens, seconds)


def _minus(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def diff_json(diff: TraceDiff) -> dict[str, Any]:
    """Return the `goldrun.diff/1` document of a diff; money is a decimal string, a lacking side is null."""
    first = diff.first_divergence
    return {
        "schema": SCHEMA,
        "verdict": diff.verdict,
        "causes": list(diff.causes),
        "comparability": list(diff.comparability),
        "stop_reason": {"a": diff.a.stop_reason, "b": diff.b.stop_reason},
        "calls": [_call_json(call) for call in diff.calls],
        "first_divergence": None if first is None else msgspec.to_builtins(first),
        "output": {"a": diff.a.output, "b": diff.b.output, "same": diff.a.output == diff.b.output},
        "totals": {"a": _totals_json(diff.a.totals), "b": _totals_json(diff.b.totals)},
    }


def _call_json(call: CallDiff) -> dict[str, Any]:
    delta = call.delta
    seconds = None if delta.seconds is None else round(delta.seconds, 9)
    return {
        "op": call.op,
        "a": call.a,
        "b": call.b,
        "name": call.name,
        "changes": [{"path": c.path, "a": _plain(c.a), "b": _plain(c.b)} for c in call.changes],
        "delta": {"usd": usd_text(delta.nanousd), "tokens": delta.tokens, "s": seconds},
    }


def _plain(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


def _totals_json(totals: Totals) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(totals)
    plain["cost_usd"] = usd_text(plain.pop("cost_nanousd"))
    return plain
