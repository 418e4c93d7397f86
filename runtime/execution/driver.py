"""Drivers: run a flow against a performer, sync for replay and async for the world.

Both take batches apart, put outcomes back in declared order, keep the (effect, outcome) pairs for the trace,
fill the totals into `End`, and issue `End` themselves when the flow dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from runtime.core.effects import (
    AnyOutcome,
    Batch,
    Begin,
    CallModel,
    Controls,
    Effect,
    End,
    Flow,
    Outcome,
    Performer,
    ReadControls,
    Refuse,
    SingleEffect,
    SyncPerformer,
)
from runtime.core.fold import Pair, fold_trace
from runtime.core.messages import ModelRequest
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.core.trace import Trace
from runtime.execution.time_limit import whole
from runtime.ports.performers import CANCELLED, PerformerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that ended.

    Attributes:
        end: Its last effect, with totals.
        trace: What happened.
        error: The exception of a flow that died of a bug.
    """

    end: End
    trace: Trace
    error: Exception | None = None


class RunLog:
    """The pairs of one run, kept small: requests are kept without their messages.

    Attributes:
        cut_off: The outcome of the effect that was in flight when the caller was cancelled.
    """

    __slots__ = ("_end", "_header", "_pairs", "_trace", "cut_off")

    def __init__(self, header: Header) -> None:
        self.cut_off: AnyOutcome = CANCELLED
        self._header = header
        self._pairs: list[Pair] = []
        self._trace: Trace | None = None
        self._end: End | None = None

    def add(self, effect: SingleEffect, outcome: AnyOutcome) -> None:
        """Keep one effect with its outcome; begin is left out, as it is from a recording's pairs."""
        if isinstance(effect, Begin):
            return
        if isinstance(effect, CallModel):
            request = ModelRequest(model=effect.request.model, messages=())
            effect = CallModel(lane=effect.lane, request=request, limits=effect.limits)
        self._pairs.append((effect, outcome))

    def close(self, end: End, *, failed: bool = False) -> End:
        """Return the end with the run's totals; the trace is folded here, once.

        Args:
            end: How the run ended.
            failed: It takes the place of an end that could not be performed: a run that is not recorded to its end
                has not finished.
        """
        if self._end is None or failed:
            self._trace = fold_trace(self._header, self._pairs, end)
            self._end = msgspec.structs.replace(
                end, totals=self._trace.totals, trace_hash=self._trace.trace_hash
            )
        return self._end

    @property
    def is_closed(self) -> bool:
        """Whether the run's end was made."""
        return self._end is not None

    def finished(self, error: Exception | None = None) -> Finished:
        """Return the run that ended."""
        assert self._end is not None
        assert self._trace is not None
        return Finished(end=self._end, trace=self._trace, error=error)


def drive(flow: Flow[End], performer: SyncPerformer, header: Header) -> Finished:
    """Run a flow against a performer that answers at once.

    A signal that is no `Exception` (a replay's divergence) passes through after the flow is closed.
    """
    log = RunLog(header)
    try:
        effect = next(flow)
        while True:
            effect = flow.send(_answer(effect, performer, log))
    except StopIteration:
        return log.finished()
    except Exception as error:  # noqa: BLE001 - the edge where a bug becomes the run's end
        ended = log.is_closed
        end = died(log, error)
        if not ended and not isinstance(error, PerformerError):
            performer.perform(end)
        return log.finished(error)
    finally:
        flow.close()


def _answer(effect: Effect, performer: SyncPerformer, log: RunLog) -> AnyOutcome:
    if isinstance(effect, Batch):
        outcomes = tuple(performer.perform(single) for single in effect.effects)
        for single, outcome in zip(effect.effects, outcomes, strict=True):
            log.add(single, outcome)
        return _together(outcomes)
    if isinstance(effect, End):
        return performer.perform(log.close(effect))
    outcome = performer.perform(effect)
    log.add(effect, outcome)
    return outcome


async def drive_async(
    flow: Flow[End], performer: Performer, header: Header, *, cut: Callable[[Finished], None] | None = None
) -> Finished:
    """Run a flow against the world; calls of one batch run together.

    If the caller is cancelled, the effect in flight is cancelled, the flow winds up and `End` is performed, `cut` is
    called with the run as it ended, and the cancellation goes on.
    """
    log = RunLog(header)
    try:
        effect = next(flow)
        while True:
            # Asked here and not one call deeper: each frame stands above every tool of every run.
            if isinstance(effect, Batch):
                outcome = await _answer_batch(effect, performer, log)
            else:
                outcome = await _answer_async(effect, performer, log)
            effect = flow.send(outcome)
    except StopIteration:
        return log.finished()
    except asyncio.CancelledError:
        if not log.is_closed:
            await whole(_wind_up(flow, performer, log))
        if cut is not None:
            cut(log.finished())
        raise
    except Exception as error:  # noqa: BLE001 - the edge where a bug becomes the run's end
        ended = log.is_closed
        end = died(log, error)
        if not ended and not isinstance(error, PerformerError):
            await _perform_end(end, performer)
        return log.finished(error)
    finally:
        flow.close()


def died(log: RunLog, error: Exception) -> End:
    """Return the end of a run whose flow raised."""
    detail = f"{type(error).__name__}: {error}"
    return log.close(End(stop_reason=StopKind.INTERNAL_ERROR.value, detail=detail), failed=True)


async def _answer_async(effect: SingleEffect, performer: Performer, log: RunLog) -> AnyOutcome:
    if isinstance(effect, End):
        return await _perform_end(log.close(effect), performer)
    try:
        outcome = await performer.perform(effect)
    except asyncio.CancelledError:
        log.add(effect, CANCELLED)
        raise
    log.add(effect, outcome)
    return outcome


async def _answer_batch(batch: Batch[SingleEffect], performer: Performer, log: RunLog) -> AnyOutcome:
    tasks = [asyncio.ensure_future(performer.perform(single)) for single in batch.effects]
    try:
        await _ended(tasks)
        outcomes = tuple(task.result() for task in tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        known = tuple(answer if isinstance(answer, Outcome) else CANCELLED for answer in answers)
        for single, outcome in zip(batch.effects, known, strict=True):
            log.add(single, outcome)
        log.cut_off = _together(known)
        raise
    for single, outcome in zip(batch.effects, outcomes, strict=True):
        log.add(single, outcome)
    return _together(outcomes)


async def _ended(tasks: Sequence[asyncio.Future[AnyOutcome]]) -> None:
    """Wait until all have ended, or one has raised; a replay must be able to tell where a cancellation fell.

    So each effect that was asked for begins, and a recorder sees it. A cancellation that comes once all have ended
    is kept for the next effect: no record would say that the run ended between the two.
    """
    if not tasks:
        return
    try:
        # Not gather(): it hands a cancellation on to calls that have not begun.
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()  # raises what one of them raised
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        run = asyncio.current_task()
        if run is None or not all(t.done() and not t.cancelled() and t.exception() is None for t in tasks):
            raise
        run.uncancel()  # counted once, or asyncio.timeout() would not know its own cancellation
        run.cancel()


async def _wind_up(flow: Flow[End], performer: Performer, log: RunLog) -> None:
    """Let the flow of a cancelled run end as it will in a replay: it says which calls were left unstarted.

    Nothing is carried out any more; a flow that asks for it is ended here.
    """
    cancelled = End(stop_reason=StopKind.CANCELLED.value, detail="the caller went away")
    try:
        effect = flow.send(log.cut_off)
        while not isinstance(effect, End):
            singles = effect.effects if isinstance(effect, Batch) else (effect,)
            if not all(isinstance(single, Refuse | ReadControls) for single in singles):
                break
            outcomes = tuple([await _left(single, performer) for single in singles])
            for single, outcome in zip(singles, outcomes, strict=True):
                log.add(single, outcome)
            effect = flow.send(_together(outcomes) if isinstance(effect, Batch) else outcomes[0])
        end = log.close(effect if isinstance(effect, End) else cancelled)
    except PerformerError:
        # What cannot be recorded is no reason to keep the caller, who went away.
        end = log.close(cancelled)
    with suppress(PerformerError):
        await performer.perform(end)


async def _left(effect: SingleEffect, performer: Performer) -> AnyOutcome:
    """Record a call that was left unstarted; switches are looked at no more, as they are not on replay."""
    return Outcome(Controls()) if isinstance(effect, ReadControls) else await performer.perform(effect)


async def _perform_end(end: End, performer: Performer) -> AnyOutcome:
    """Perform the end whole, also if the caller goes away meanwhile: it is performed exactly once."""
    return await whole(performer.perform(end))


def _together(outcomes: tuple[AnyOutcome, ...]) -> AnyOutcome:
    times = [o.at for o in outcomes if o.at is not None]
    return Outcome(value=outcomes, at=max(times) if times else None)
