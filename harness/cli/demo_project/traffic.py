"""Production for the demo: `python -m shop.traffic DEPLOY` serves customers and records every run.

The model listens on 127.0.0.1. Time is simulated: a longer reply takes more time, and backoffs pass at once.
So the recorded durations look real, and the demo still ends within seconds.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from harness.record import Recorder
from runtime import LoopbackProvider, OpenAIChat, Request
from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.entry.run import run_agent_async
from runtime.ports.models import ModelPort, StreamObserver

from .agent import build
from .provider import policy

CUSTOMERS = ("north", "south", "west")
MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REPLY_S, TOKEN_S = 0.35, 0.012

_WHERE = ("7301", "7302", "7303", "7304", "7305", "7306")
_FURNITURE = ("5520", "5521", "5522", "5523", "5524", "5525", "5526", "5527")
_GENERAL = {
    "returns": "How do returns work?",
    "invoice": "Where do I find the invoices of my orders?",
    "goods_back": "I want to send goods back.",
    "late": "When do you call parcels late?",
}
QUESTIONS = {
    **{f"where_is_{number}": f"Where is my order {number}?" for number in _WHERE},
    **{f"furniture_{number}": f"When does order {number} arrive?" for number in _FURNITURE},
    **_GENERAL,
}


class SimulatedClock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.seconds: float = 0.0

    def monotonic_s(self) -> float:
        """Return the seconds that have passed."""
        return self.seconds

    def now(self) -> datetime:
        """Return the time of a simulated morning."""
        return MORNING + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        """Advance the time without waiting."""
        self.seconds += seconds


class TimedModel:
    """A model whose replies take simulated time: the longer the reply, the more."""

    def __init__(self, model: ModelPort, clock: SimulatedClock) -> None:
        self._model = model
        self._clock = clock

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        """Ask the model."""
        reply = await self._model.call(request, limits, observer)
        tokens = reply.usage.output_tokens if isinstance(reply, ModelReply) and reply.usage else None
        await self._clock.sleep(REPLY_S + TOKEN_S * (tokens or 0))
        return reply

    async def aclose(self) -> None:
        """Do nothing: the owner of the inner model closes it."""


async def serve(deploy: str) -> None:
    """Answer every question once and record the runs into `production/<deploy>.jsonl`."""
    with LoopbackProvider(policy) as provider, Recorder(f"production/{deploy}.jsonl") as recorder:
        chat = OpenAIChat(base_url=provider.base_url)
        for number, (task, prompt) in enumerate(QUESTIONS.items()):
            clock = SimulatedClock()
            request = Request(
                prompt=prompt,
                request_id=f"req_{task}",
                tenant=CUSTOMERS[number % len(CUSTOMERS)],
                environment="prod",
                deploy=deploy,
                task=task,
            )
            await run_agent_async(
                build(), request, model=TimedModel(chat, clock), wrap=recorder.wrap, clock=clock
            )
        await chat.aclose()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
