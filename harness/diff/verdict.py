"""What a comparison comes to: comparability warnings, causes of a regression, verdict.

Rules.
- `not_comparable`: task, agent or prompt are known on both sides and differ, and no call of A, neither tool
  with arguments nor model reply, is found in B. Two runs that share one call are compared, with a warning.
- `regressed`: a run that finished no longer does; tool calls, executions, tokens or cost grew by more than
  `MOST_GROWTH`; errors, denials, loops or calls in doubt are more than before; a write was repeated; the
  label `passed` turned false. Growth of an unknown amount is no regression but a warning.
- `changed`: anything else that differs: a call, the stop reason or the output.
- `same`: nothing differs but times, ids, tokens and money within bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from harness.diff.document import Call, CallDiff, SameRun, Verdict, flatten
from harness.diff.similarity import args_key
from harness.text import safe_text
from runtime.core.money import usd_text
from runtime.core.run import Totals
from runtime.core.stop import StopClass, parse_stop
from runtime.core.trace import ToolStep, Trace

MOST_GROWTH = 0.10
"""Share by which calls, tokens and cost may grow."""

_IDENTITY = ("task", "agent")
_FINGERPRINTS = ("prompt_hash", "tools_hash", "policy_hash", "price_table")
_GROWING = ("tool_calls", "tool_executions", "total_tokens", "cost_nanousd")
_COUNTED = ("errors", "denials", "loops", "in_doubt")


def comparability(a: Trace, b: Trace) -> tuple[str, ...]:
    """Return the reasons to mistrust a comparison of two runs, most weighty first."""
    found = [_differs(name, getattr(a, name), getattr(b, name)) for name in _IDENTITY]
    requested = [{step.model.request_model for step in t.steps if step.model is not None} for t in (a, b)]
    found.append(_differs("model", *map(_listed, requested)))
    answered = [{step.model.response_model for step in t.steps if step.model is not None} for t in (a, b)]
    found.append(_differs("response model", *map(_listed, answered)))
    found += [_differs(name, getattr(a, name), getattr(b, name)) for name in _FINGERPRINTS]
    found += [_unknown(side, trace.totals) for side, trace in (("A", a), ("B", b))]
    return tuple(text for text in found if text is not None)


def judge(a: Trace, b: Trace, entries: Sequence[SameRun | CallDiff]) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and the causes of a bad one, by the rules above."""
    if (stranger := _stranger(a, b)) is not None and not _share_a_call(a, b, entries):
        return "not_comparable", (f"{stranger}, and no call of A is found in B",)
    causes = tuple(_regressions(a, b, entries))
    if causes:
        return "regressed", causes
    same_calls = all(isinstance(entry, SameRun) for entry in entries)
    return (
        "same" if same_calls and a.stop_reason == b.stop_reason and a.output == b.output else "changed"
    ), ()


def growth(before: float, now: float) -> str:
    """Return a relative change as text: `+100.0%`; `new` where there was nothing before."""
    if before == 0:
        return "new" if now else "0.0%"
    return f"{(now - before) / abs(before):+.1%}"


def _regressions(a: Trace, b: Trace, entries: Iterable[SameRun | CallDiff]) -> Iterable[str]:
    if _finished(a) and not _finished(b):
        yield f"stop reason: {a.stop_reason} -> {safe_text(b.stop_reason)}"
    if a.labels.get("passed") is True and b.labels.get("passed") is False:
        yield "label passed: true -> false"
    for name in _GROWING:
        before, now = getattr(a.totals, name), getattr(b.totals, name)
        if before is not None and now is not None and now > before and now - before > MOST_GROWTH * before:
            yield f"{_shown(name, before, now)} ({growth(before, now)}, allowed +{MOST_GROWTH:.0%})"
    for name in _COUNTED:
        before, now = getattr(a.totals, name), getattr(b.totals, name)
        if now > before:
            yield f"{name}: {before} -> {now}"
    for entry in entries:
        if isinstance(entry, CallDiff) and entry.op == "repeated" and entry.write:
            yield f"write repeated: {safe_text(entry.name)} at call {entry.b} of B"


def _shown(name: str, before: int, now: int) -> str:
    if name == "cost_nanousd":
        return f"cost_usd: {usd_text(before)} -> {usd_text(now)}"
    return f"{name}: {before} -> {now}"


def _finished(trace: Trace) -> bool:
    try:
        return parse_stop(trace.stop_reason).stop_class is StopClass.FINISH
    except ValueError:
        # A stop reason of a later version: certainly not `finish`, whose form is fixed.
        return False


def _stranger(a: Trace, b: Trace) -> str | None:
    pairs = ((name, getattr(a, name), getattr(b, name)) for name in (*_IDENTITY, "prompt_hash"))
    return next((text for name, x, y in pairs if (text := _differs(name, x, y)) is not None), None)


def _share_a_call(a: Trace, b: Trace, entries: Iterable[SameRun | CallDiff]) -> bool:
    if any(isinstance(entry, SameRun) for entry in entries):
        return True
    return not {_essence(call) for call in flatten(a)}.isdisjoint(_essence(call) for call in flatten(b))


def _essence(call: Call) -> tuple[object, ...]:
    if isinstance(call, ToolStep):
        return (call.name, args_key(call))
    return (call.request_model, call.hash or (call.text, call.tool_names))


def _listed(names: AbstractSet[str | None]) -> str | None:
    return ", ".join(sorted(name for name in names if name is not None)) or None


def _differs(name: str, a: str | None, b: str | None) -> str | None:
    if a is None or b is None or a == b:
        return None
    return f"{name} differs: '{safe_text(a)}' -> '{safe_text(b)}'"


def _unknown(side: str, totals: Totals) -> str | None:
    if not totals.model_calls:
        return None
    fields = (("tokens", totals.total_tokens), ("cost", totals.cost_nanousd), ("duration", totals.duration_s))
    lacking = [name for name, value in fields if value is None]
    return f"unknown in {side}: {', '.join(lacking)}" if lacking else None
