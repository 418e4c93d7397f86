"""A stream observer that raises is dropped; the run it watched goes on."""

from __future__ import annotations

import asyncio
import logging

import pytest

from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest, TextPart
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent_async
from runtime.ports.models import StreamObserver


class Streaming:
    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        assert observer is not None
        for piece in ("to", "day"):
            observer.on_text(piece)
        return ModelReply(parts=(TextPart("today"),), finish_reason="stop")

    async def aclose(self) -> None:
        """Hold nothing."""


class Closed:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_text(self, delta: str) -> None:
        self.texts.append(delta)
        raise ConnectionResetError("the client went away")

    def on_restart(self) -> None:
        raise AssertionError("nothing is made again")


def test_an_observer_that_raises_is_reported_once_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    closed = Closed()

    with caplog.at_level(logging.WARNING, "goldrun"):
        result = asyncio.run(
            run_agent_async(Agent(name="a", model="m"), "go", model=Streaming(), observer=closed)
        )

    assert (result.stop_reason, result.output, closed.texts) == ("finish", "today", ["to"])
    assert [r.message for r in caplog.records if "stream observer Closed" in r.message] != []
    assert len(caplog.records) == 1
