"""Rules about single calls and their order: tools, never, before, same_turn, at_most_once, approvals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.golden.rules.expect import ApprovalSpec, CallSpec, ExpectedCall, OnceSpec, Range, Tools
from harness.golden.rules.facts import (
    ActualCall,
    Facts,
    Finding,
    RulePath,
    call_list,
    spec_mismatches,
    spec_text,
    suggestion,
)
from harness.golden.rules.pairing import (
    DIRECTIONS,
    ExpectedSlot,
    Mode,
    Times,
    default_times,
    match_calls,
    slots_of,
)
from harness.golden.rules.vacuity import vacuous, vacuous_spec
from runtime.core.canonical import fingerprint


def fits(spec: CallSpec, call: ActualCall) -> bool:
    """Return whether a call fits a specification."""
    return call.tool.name == spec.tool and not spec_mismatches(spec.tool, spec.args, spec.status, call)


def text_of(spec: CallSpec) -> str:
    """Return a specification in words."""
    return spec_text(spec.tool, spec.args, spec.status)


def check_tools(rule: Tools, facts: Facts, path: RulePath = ("expect", "tools")) -> Iterator[Finding]:
    """Yield the differences between the expected calls and the calls of the run."""
    vague = [f for i, c in enumerate(rule.calls) for f in vacuous_spec((*path, "calls", i), c, facts)]
    yield from vague
    if vague:
        return
    calls = facts.calls
    times = [_times(c.times, rule.mode) for c in rule.calls]
    slots = slots_of(times, len(calls), lambda i, c: fits(rule.calls[i], calls[c]))
    verdict = match_calls(rule.mode, slots, len(calls))
    direction = f"{rule.mode}: {DIRECTIONS[rule.mode]}"
    for index in verdict.missing:
        yield _missing(rule.calls[index], slots, index, facts, (*path, "calls", index), direction)
    if verdict.extra:
        yield _extra(rule, [calls[i] for i in verdict.extra], (*path, "calls"), direction)
    for index in verdict.misplaced:
        spec = rule.calls[index]
        yield Finding(
            path=(*path, "calls", index),
            expected=f"{text_of(spec)} {_times_text(times[index])} as number {index + 1} of the order ({direction})",
            actual="the calls are there in another order: " + call_list(calls),
            nearest=_at(slots[index], calls),
        )


def check_never(
    rules: Sequence[CallSpec], facts: Facts, path: RulePath = ("expect", "never")
) -> Iterator[Finding]:
    """Yield each forbidden call that the model requested, whether or not it ran."""
    for index, spec in enumerate(rules):
        if vague := vacuous_spec((*path, index), spec, facts):
            yield from vague
            continue
        found = [call for call in facts.calls if fits(spec, call)]
        if found:
            yield Finding(
                path=(*path, index),
                expected=f"no call of {text_of(spec)}",
                actual=f"{len(found)}: {call_list(found)}",
                step=found[0].step,
            )


def check_before(
    rules: Sequence[tuple[CallSpec, CallSpec]], facts: Facts, path: RulePath = ("expect", "before")
) -> Iterator[Finding]:
    """Yield each pair whose second call started although no first call had started in an earlier turn.

    Calls of one turn run together, so none of them is before another. If the second call never starts, the rule
    holds.
    """
    for index, (first, second) in enumerate(rules):
        vague = [f for i, s in enumerate((first, second)) for f in vacuous_spec((*path, index, i), s, facts)]
        yield from vague
        if vague:
            continue
        later = next((c for c in facts.calls if c.started and fits(second, c)), None)
        if later is None:
            continue
        starts = [c for c in facts.calls if c.started and fits(first, c)]
        if any(c.step < later.step for c in starts):
            continue
        together = next((c for c in starts if c.step == later.step), None)
        after = next(iter(starts), None)
        nearest = f"{together} started in the same turn, not before it" if together else None
        yield Finding(
            path=(*path, index),
            expected=f"{text_of(first)} started in a turn before {text_of(second)}",
            actual=f"{later} came first",
            nearest=nearest or (f"{after} came after it" if after else _never_called(first.tool, facts)),
            step=later.step,
        )


def check_same_turn(
    rules: Sequence[tuple[CallSpec, ...]], facts: Facts, path: RulePath = ("expect", "same_turn")
) -> Iterator[Finding]:
    """Yield each group of calls that no single turn requests together."""
    for index, group in enumerate(rules):
        vague = [f for i, s in enumerate(group) for f in vacuous_spec((*path, index, i), s, facts)]
        yield from vague
        if vague:
            continue
        turns: dict[int, list[ActualCall]] = {}
        for call in facts.calls:
            turns.setdefault(call.step, []).append(call)
        best = max(turns, key=lambda t: _matched(group, turns[t]), default=None)
        if best is not None and _matched(group, turns[best]) == len(group):
            continue
        yield Finding(
            path=(*path, index),
            expected="one turn with " + ", ".join(map(text_of, group)),
            actual="no turn asks for all of them",
            nearest=None if best is None else f"step {best}: {call_list(turns[best])}",
        )


def check_at_most_once(
    rules: Sequence[OnceSpec], facts: Facts, path: RulePath = ("expect", "at_most_once")
) -> Iterator[Finding]:
    """Yield each effect that may have happened more than once.

    Calls are the same if the arguments of `by` are equal; without it those of the tool's `dedupe_by`; without that
    all calls of a write tool are the same, since a model rarely words a repeated write the same way, and calls of
    another tool are if all their arguments are equal. Attempts under one idempotency key count once; attempts
    without a key count each.
    """
    for index, spec in enumerate(rules):
        if vague := vacuous_spec((*path, index), spec, facts):
            yield from vague
            continue
        by = spec.by or _dedupe_by(spec.tool, facts)
        groups: dict[str, list[ActualCall]] = {}
        for call in facts.calls:
            if call.started and fits(spec, call):
                groups.setdefault(_same_effect(call, by), []).append(call)
        for group in groups.values():
            effects = _effects(group)
            if effects > 1:
                yield Finding(
                    path=(*path, index),
                    expected=f"{text_of(spec)} at most once{_by_text(by, group)}",
                    actual=f"{effects} times: {call_list(group)}",
                    nearest=_attempts_note(group) or _by_note(spec, by, group),
                    step=group[-1].step,
                )


def check_approvals(
    rules: Sequence[ApprovalSpec], facts: Facts, path: RulePath = ("expect", "approvals")
) -> Iterator[Finding]:
    """Yield each expected approval that was never requested, or was decided otherwise."""
    for index, rule in enumerate(rules):
        if (vague := vacuous((*path, index), rule.tool, facts)) is not None:
            yield vague
            continue
        approvals = [a for a in facts.trace.approvals if a.tool == rule.tool]
        if any(rule.decision in (None, a.decision) for a in approvals):
            continue
        answer = "" if rule.decision is None else f" answered {rule.decision!r}"
        found = ", ".join(f"{a.decision!r} at step {a.step}" for a in approvals)
        yield Finding(
            path=(*path, index),
            expected=f"an approval of {rule.tool}{answer}",
            actual=found or "none was asked for",
        )


def _times(stated: Range | None, mode: Mode) -> Times:
    if stated is None:
        return default_times(mode)
    return Times(stated.min or 0, math.inf if stated.max is None else stated.max)


def _times_text(times: Times) -> str:
    if times.low == times.high:
        return "once" if times.low == 1 else f"{times.low} times"
    if times.high == math.inf:
        return "at least once" if times.low == 1 else f"at least {times.low} times"
    return f"{times.low} to {int(times.high)} times"


def _missing(
    spec: ExpectedCall,
    slots: Sequence[ExpectedSlot],
    index: int,
    facts: Facts,
    path: RulePath,
    direction: str,
) -> Finding:
    fitting = slots[index].fits
    shared = any(set(fitting) & set(s.fits) for i, s in enumerate(slots) if i != index)
    found = f"{len(fitting)} such calls" if fitting else "no such call"
    if shared and fitting:
        found += ", needed by other expected calls too"
    return Finding(
        path=path,
        expected=f"{text_of(spec)} {_times_text(slots[index].times)} ({direction})",
        actual=found,
        nearest=_nearest_call(spec, facts, frozenset(fitting)),
    )


def _extra(rule: Tools, extra: list[ActualCall], path: RulePath, direction: str) -> Finding:
    first = extra[0]
    candidates = [
        (spec_mismatches(s.tool, s.args, s.status, first), s) for s in rule.calls if s.tool == first.tool.name
    ]
    near = min(candidates, key=lambda c: len(c[0]), default=None)
    nearest = None
    if near is not None:
        why = "; ".join(map(str, near[0])) or "it is used up by other calls"
        nearest = f"expected {text_of(near[1])}: {why}"
    return Finding(
        path=path,
        expected=f"no other calls than the {len(rule.calls)} expected ({direction})",
        actual=f"{len(extra)} too many: {call_list(extra)}",
        nearest=nearest,
        step=first.step,
    )


def _nearest_call(spec: CallSpec, facts: Facts, fitting: frozenset[int]) -> str | None:
    same = [c for c in facts.calls if c.tool.name == spec.tool and c.position not in fitting]
    if not same:
        return None if fitting else _never_called(spec.tool, facts)
    ranked = [(spec_mismatches(spec.tool, spec.args, spec.status, c), c) for c in same]
    wrong, call = min(ranked, key=lambda entry: len(entry[0]))
    return f"{call}: {'; '.join(map(str, wrong))}"


def _never_called(tool: str, facts: Facts) -> str:
    names = {c.tool.name for c in facts.calls}
    near = suggestion(tool, names)
    called = f"{tool} was not called; called: {', '.join(sorted(names)) or 'nothing'}"
    return called if near is None or near == tool else f"{called}; nearest name {near!r}"


def _at(slot: ExpectedSlot, calls: Sequence[ActualCall]) -> str | None:
    return None if not slot.fits else f"{calls[slot.fits[0]]} (call {slot.fits[0] + 1} of {len(calls)})"


def _matched(group: tuple[CallSpec, ...], calls: list[ActualCall]) -> int:
    slots = slots_of([Times(1, 1)] * len(group), len(calls), lambda i, c: fits(group[i], calls[c]))
    return len(group) - len(match_calls("superset", slots, len(calls)).missing)


def _dedupe_by(tool: str, facts: Facts) -> tuple[str, ...]:
    return next((decl.dedupe_by for decl in facts.declarations(tool) if decl.dedupe_by), ())


def _same_effect(call: ActualCall, by: tuple[str, ...]) -> str:
    """Return a text that is equal for calls whose effect is the same."""
    arguments = call.tool.arguments
    if by and isinstance(arguments, dict):
        return fingerprint([arguments.get(name) for name in by])
    if call.tool.write:
        return "write"
    return call.tool.args_hash or repr(arguments)


def _by_text(by: tuple[str, ...], group: list[ActualCall]) -> str:
    if by:
        return f" for one {' and '.join(by)}"
    return ", whatever its arguments" if group[0].tool.write else " with the same arguments"


def _by_note(spec: OnceSpec, by: tuple[str, ...], group: list[ActualCall]) -> str | None:
    """Name the key that tells writes apart: before it existed, calls with other arguments were other effects."""
    arguments = [c.tool.arguments for c in group if isinstance(c.tool.arguments, dict)]
    if by or not group[0].tool.write or len({fingerprint(a) for a in arguments}) < 2:
        return None
    names = [name for name in arguments[0] if len({fingerprint(a.get(name)) for a in arguments}) > 1]
    return (
        f"{', '.join(names)} differ; if calls with another one are meant to count apart, write"
        f" {{tool: {spec.tool}, by: [{names[0] if names else '...'}]}}"
    )


def _effects(group: list[ActualCall]) -> int:
    """Return how often the effect of equal calls may have happened: once per key, and once per keyless attempt."""
    keyed = {c.tool.idempotency_key for c in group if c.tool.idempotency_key is not None}
    return len(keyed) + sum(max(c.tool.attempts, 1) for c in group if c.tool.idempotency_key is None)


def _attempts_note(group: list[ActualCall]) -> str | None:
    retried = [c for c in group if c.tool.attempts > 1 and c.tool.idempotency_key is None]
    if not retried:
        return None
    return f"{retried[0].tool.attempts} attempts without an idempotency key at step {retried[0].step}"
