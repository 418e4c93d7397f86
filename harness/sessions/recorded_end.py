"""Compare the end of a replay with the end that the recording states: stop reason, output, totals, trace hash.

Rules.
1. A recording states its end in its last record; one that was cut off states none, and its own fold stands in.
2. A stated value that differs is a divergence, also where every effect matched: the recording says something that
   its interactions do not give.
3. Totals and trace hashes of an older header version may have been folded by other rules. Where today's fold of the
   recording gives what the replay gives, such a difference is a warning.
4. Where arguments are ignored, a trace hash is no evidence; what it is made of is compared without them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.replay.divergence import Cause, EffectDivergence
from harness.replay.matching import Matchers, loose_tool_key
from runtime.core.run import HEADER_VERSION
from runtime.core.stop import StopKind
from runtime.core.trace import Trace
from runtime.journal.recording import Recording

_TIMES = ("duration_s", "model_s", "tool_s")


class EndCheck(msgspec.Struct, frozen=True):
    """What differs at the end: divergences, and warnings about what a newer fold explains."""

    divergences: tuple[EffectDivergence, ...] = ()
    warnings: tuple[str, ...] = ()


def check_end(recording: Recording, trace: Trace, matchers: Matchers) -> EndCheck:
    """Return where a replay whose effects all matched ends otherwise than recorded.

    Args:
        recording: What was recorded.
        trace: The trace of the replay.
        matchers: How much of a call had to be as recorded.
    """
    end = recording.end
    if end is None:
        return EndCheck(tuple(_fold_differs(recording.trace(), trace, matchers)))
    if end.stop_reason != trace.stop_reason:
        return EndCheck((end_divergence("stop_reason", end.stop_reason, trace.stop_reason),))
    if end.output != trace.output:
        return EndCheck((end_divergence("output", end.output, trace.output),))
    if end.trace_hash != trace.trace_hash:
        folded = recording.trace()
        if found := list(_fold_differs(folded, trace, matchers)):
            return EndCheck(tuple(found))
        stated = end.trace_hash is not None and end.trace_hash != folded.trace_hash
        if stated and recording.header.version == HEADER_VERSION:
            return EndCheck((end_divergence("trace_hash", end.trace_hash, folded.trace_hash),))
    return _totals(recording, trace)


def _totals(recording: Recording, trace: Trace) -> EndCheck:
    assert recording.end is not None
    now: dict[str, Any] = msgspec.to_builtins(trace.totals)
    stated = {k: v for k, v in recording.end.totals.items() if v is not None and k in now}
    wrong = [k for k, v in stated.items() if v != now[k] and not _untimed(k, v, now[k], trace.stop_reason)]
    if not wrong:
        return EndCheck()
    older = recording.header.version < HEADER_VERSION
    if older and msgspec.to_builtins(recording.trace().totals) == now:
        return EndCheck(warnings=(f"totals are counted otherwise today: {', '.join(wrong)}",))
    return EndCheck(tuple(end_divergence(f"totals.{n}", stated[n], now[n]) for n in wrong))


def _untimed(name: str, stated: Any, now: Any, stop_reason: str) -> bool:
    """Return whether a time is not known here as well as it was live.

    A granted admission is not worth a record, but its time is: a run that was stopped there took longer than its
    recorded outcomes tell.
    """
    if name not in _TIMES:
        return False
    return now is None or (name == "duration_s" and stop_reason != StopKind.FINISH and stated >= now)


def _fold_differs(before: Trace, trace: Trace, matchers: Matchers) -> list[EffectDivergence]:
    """Return the first difference between the recording's own trace and the replay's."""
    if before.trace_hash == trace.trace_hash:
        return []
    if before.stop_reason != trace.stop_reason:
        return [end_divergence("stop_reason", before.stop_reason, trace.stop_reason)]
    if before.output != trace.output:
        return [end_divergence("output", before.output, trace.output)]
    if matchers.ignore and _without_ignored(before, matchers) == _without_ignored(trace, matchers):
        return []
    for old, new in zip(before.tool_calls, trace.tool_calls, strict=False):
        if (old.status, old.result) != (new.status, new.result):
            return [
                EffectDivergence(
                    step=None,
                    lane=new.lane,
                    kind="tool",
                    name=new.name,
                    verdict="changed",
                    path="result",
                    cause="policy" if new.status == "denied" else "tool schema",
                    recorded=old.result,
                    replayed=new.result,
                )
            ]
    return [end_divergence("trace_hash", before.trace_hash, trace.trace_hash)]


def _without_ignored(trace: Trace, matchers: Matchers) -> list[object]:
    """Return what a trace hash is made of, without the ignored arguments of tool calls."""
    return [
        [(d.step, d.tool, d.rule) for d in trace.denials],
        [(m.request_model, m.finish_reason, m.text, m.tool_names, m.error) for m in trace.model_calls],
        [
            (loose_tool_key(c.name, c.arguments, matchers.ignore), c.status, c.result)
            for c in trace.tool_calls
        ],
    ]


def end_divergence(path: str, recorded: Any, replayed: Any) -> EffectDivergence:
    """Return the divergence of a value at the end of a run."""
    cause: Cause = "budget" if isinstance(replayed, str) and replayed.startswith("max_") else "code"
    shown = "" if path in {"output", "trace_hash"} else f" {recorded} -> {replayed}"
    return EffectDivergence(
        step=None,
        lane="end",
        kind="end",
        name=None,
        verdict="changed",
        path=path,
        cause=cause,
        recorded=recorded,
        replayed=replayed,
        summary=f"{path.replace('_', ' ')} at the end{shown or ' is not the recorded one'}",
    )
