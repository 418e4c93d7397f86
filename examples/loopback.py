"""Serve an example's scripted model on 127.0.0.1 and answer an agent's model calls from it over HTTP."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from runtime import (
    Failure,
    Limits,
    LoopbackProvider,
    ModelPort,
    ModelReply,
    ModelRequest,
    OpenAIChat,
    StreamObserver,
)


class LoopbackModel:
    """A model port with one connection a call, so that nothing stays open when the run's event loop ends."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        """Ask the provider once; see `ModelPort.call`."""
        chat = OpenAIChat(base_url=self._base_url)
        try:
            return await chat.call(request, limits, observer)
        finally:
            await chat.aclose()

    async def aclose(self) -> None:
        """Do nothing: each call closes its own connection."""


@contextmanager
def loopback_model(example: str) -> Iterator[ModelPort]:
    """Serve the model of an example package such as `examples.support` while the context is open.

    Args:
        example: Package with a module `provider` that has the function `policy`.
    """
    policy = importlib.import_module(f"{example}.provider").policy
    with LoopbackProvider(policy) as provider:
        yield LoopbackModel(provider.base_url)
