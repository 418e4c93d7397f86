"""The step loop of a run.

Theory of operation. A run is a pure function of its setup and its outcomes. `run_flow` yields `Begin`, then
makes steps until one of them gives the stop reason, then yields `End` and returns it. A step is one model
decision (`model_step`) with the tool calls it causes (`tool_step`); where inputs are recorded, the effect
`Input` follows each step and says what the user or a recorded guard added, and whether the run ends. A reply
without tool calls ends the run unless further input can follow. Totals are counted below the seam, from the
same outcomes, by the driver.
"""

from __future__ import annotations

from runtime.core.effects import Begin, End, Flow, Input, InputReply, perform
from runtime.core.lanes import lane
from runtime.core.messages import ModelReply, user_message
from runtime.core.stop import StopKind, StopReason, parse_stop
from runtime.orchestrator.model_step import ask_model, interrupted
from runtime.orchestrator.progress import Progress
from runtime.orchestrator.setup import RunSetup
from runtime.orchestrator.tool_step import run_calls

_EMPTY_REPLY = "Your reply was empty. Answer, or call one of the tools."


def run_flow(setup: RunSetup) -> Flow[End]:
    """Run one request from begin to end; the effects' outcomes decide everything."""
    progress = Progress(setup)
    progress.see((yield from perform(Begin(header=setup.header))))
    reason: StopReason | None = None
    while reason is None:
        reason = yield from _take_step(progress)
        progress.step += 1
    end = End(stop_reason=str(reason), output=progress.output, spent=progress.used)
    yield from perform(end)
    return end


def _take_step(progress: Progress) -> Flow[StopReason | None]:
    reply = yield from ask_model(progress)
    if isinstance(reply, StopReason):
        return reply
    calls = progress.accept(reply)
    conversing = progress.setup.header.inputs == "recorded"
    if calls:
        stop = yield from run_calls(progress, calls)
        if stop is not None:
            return stop
    elif not conversing:
        return _final(progress, reply)
    if not conversing:
        return None
    return (yield from _take_input(progress, reply))


def _final(progress: Progress, reply: ModelReply) -> StopReason | None:
    """Return the stop reason of a reply without tool calls; `None` if there is another step."""
    if reply.refusal is not None or reply.finish_reason == "content_filter":
        return StopReason(StopKind.MODEL_REFUSED)
    text = reply.text
    if reply.finish_reason == "length":
        progress.output = text or None
        return StopReason(StopKind.OUTPUT_TRUNCATED)
    if not text:
        stop = progress.refuse(StopKind.INVALID_ACTION, None, stop=False)
        progress.messages.append(user_message(_EMPTY_REPLY))
        return stop
    progress.output = text
    return StopReason(StopKind.FINISH)


def _take_input(progress: Progress, reply: ModelReply) -> Flow[StopReason | None]:
    outcome = yield from perform(Input(lane=lane(progress.step, "input")))
    progress.see(outcome)
    if outcome.failure is not None:
        return interrupted(outcome.failure)
    said = outcome.value or InputReply()
    if said.end is not None:
        reason = parse_stop(said.end)
        if reason.kind is StopKind.FINISH:
            progress.output = reply.text or None
        return reason
    progress.messages += said.messages
    return None
