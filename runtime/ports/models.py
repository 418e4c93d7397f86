"""The port of models: what the live performer calls, and what watches a streamed answer."""

from __future__ import annotations

from typing import Protocol

from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest


class StreamObserver(Protocol):
    """Watches the text of a streamed answer while it arrives; nothing it does reaches the trace."""

    def on_text(self, delta: str) -> None:
        """Take the next piece of text."""
        ...

    def on_restart(self) -> None:
        """Forget what was shown: the call is made again. Called by the performer, not by a port."""
        ...


class ModelPort(Protocol):
    """One model provider.

    A failure of the provider or of the way to it is returned as a `Failure`, never raised; an exception is a
    caller's mistake or a bug. A call that is cancelled leaves nothing open. The performer applies the hard
    timeout from outside; a port passes `limits` on where its provider understands them.
    """

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        """Ask the model once and return its whole answer.

        Args:
            request: What the agent decided to ask.
            limits: What follows from time and money: `max_output_tokens` clamps the answer.
            observer: Receives text as it arrives, where the port streams.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; closing twice is harmless, and a later call opens new ones."""
        ...
