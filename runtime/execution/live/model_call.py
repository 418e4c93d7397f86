"""One model call: streamed to the observer, limited in time, priced."""

from __future__ import annotations

import msgspec

from runtime.core.effects import CallModel, Failure, FailureKind
from runtime.core.lanes import parse_lane
from runtime.core.messages import Message, ModelReply
from runtime.execution.live.run_time import RunTime
from runtime.execution.live.safe_observer import SafeObserver
from runtime.execution.live.timeouts import cancelled_inside, timed_out
from runtime.execution.time_limit import SelfCancelledError, TimeLimitError, Watch, bounded
from runtime.execution.world import RunBinding, World
from runtime.ports.tool_failures import failure_of


class ModelCalls:
    """Makes the model calls of one run.

    Attributes:
        conversation: The messages of the last request.
    """

    __slots__ = ("_binding", "_observer", "_streamed", "_time", "_watch", "_world", "conversation")

    def __init__(self, world: World, binding: RunBinding, time: RunTime, watch: Watch | None) -> None:
        self._world = world
        self._binding = binding
        self._time = time
        self._watch = watch
        self._streamed = False
        self._observer = None if world.observer is None else SafeObserver(world.observer)
        self.conversation: tuple[Message, ...] = ()

    async def call(self, effect: CallModel) -> ModelReply | Failure:
        """Return a model's reply, or why there is none.

        Raises:
            HaltedError: If the watch stopped the call.
            Exception: What the client raised, unless it says that the provider could not be reached or was lost:
                an exception of a client is a caller's mistake or a bug.
        """
        self.conversation = effect.request.messages
        observer = self._observer
        if observer is not None and self._streamed and parse_lane(effect.lane).attempt > 1:
            observer.on_restart()
        self._streamed = True
        what = f"model {effect.request.model!r}"
        limit = self._time.limit(effect.limits)
        try:
            call = self._world.model.call(effect.request, effect.limits, observer)
            answer: object = await bounded(call, limit.seconds, watch=self._watch, lane=effect.lane)
        except SelfCancelledError as error:
            return cancelled_inside(what, error)
        except TimeLimitError as error:
            phase = "run" if error.abandoned is None else "abandoned"
            return timed_out(what, effect.limits, limit, phase=phase)
        except Exception as error:
            failure = failure_of(error)
            if failure.phase in {"connect", "lost"}:
                return failure
            raise
        if isinstance(answer, Failure):
            return answer
        if not isinstance(answer, ModelReply):
            message = f"the client of {what} gave {type(answer).__name__}, no reply"
            return Failure(kind=FailureKind.ERROR, message=message, phase="run")
        return self._priced(effect, answer)

    def _priced(self, effect: CallModel, reply: ModelReply) -> ModelReply:
        """Return a reply with its cost; usage that cannot be true counts as not reported."""
        if reply.usage is not None and not reply.usage.is_possible:
            reply = msgspec.structs.replace(reply, usage=None, cost_nanousd=None)
        rate = self._binding.rates.get(effect.request.model)
        if reply.cost_nanousd is not None or reply.usage is None or rate is None:
            return reply
        return msgspec.structs.replace(reply, cost_nanousd=rate.cost(reply.usage))
