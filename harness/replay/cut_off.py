"""Replay a run that was cut off: its flow ends where the recording does.

A journal that a dead process left has no end, and a run that died of a fault ended where its flow did not. The flow
itself would go on and ask for effects that nobody recorded. So it is driven to the last record, and what it asks for
then is the cut: it ends there, as the recorded run did, with the same trace.

Rules.
1. Only what comes after the last record is the cut. An effect that is not recorded while others are still unused is a
   divergence.
2. Of a batch that was cut off, the recorded part is performed, and the flow does not see its outcomes.
"""

from __future__ import annotations

from collections.abc import Generator

from harness.replay.matching import NEUTRAL, RecordingIndex
from runtime.core.effects import KIND_OF, AnyOutcome, Batch, Begin, Effect, End, Flow, SingleEffect
from runtime.journal.recording import Recording


def until_cut_off(flow: Flow[End], index: RecordingIndex) -> Flow[End]:
    """Return the flow of a run that was cut off; it ends with the recorded stop reason."""
    unused = {i.lane for i in index.recording.interactions if i.kind not in NEUTRAL}
    try:
        effect = next(flow)
        while True:
            singles = effect.effects if isinstance(effect, Batch) else (effect,)
            unused -= {single.lane for single in singles if not isinstance(single, Begin | End)}
            known = tuple(single for single in singles if unused or _is_known(single, index))
            if len(known) < len(singles) or not (unused or all(_is_answered(s, index) for s in known)):
                if known:
                    yield Batch(known) if isinstance(effect, Batch) else effect
                return (yield from _end(index.recording))
            effect = flow.send((yield effect))
    except StopIteration as ended:  # it ended before the cut; what is left unused says so
        last: End = ended.value
        return last
    finally:
        flow.close()


def _end(recording: Recording) -> Generator[Effect, AnyOutcome, End]:
    end = recording.end
    last = End(stop_reason=recording.stop_reason, detail=None if end is None else end.detail)
    yield last
    return last


def _is_known(effect: SingleEffect, index: RecordingIndex) -> bool:
    if isinstance(effect, Begin | End):
        return isinstance(effect, Begin)
    return effect.lane in index.by_lane or KIND_OF[type(effect)] in NEUTRAL


def _is_answered(effect: SingleEffect, index: RecordingIndex) -> bool:
    recorded = None if isinstance(effect, Begin | End) else index.by_lane.get(effect.lane)
    return recorded is None or recorded.answered
