"""The live adapter of OpenAI chat completions, for any compatible base URL, streamed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runtime.core.signatures import checks_arguments
from runtime.dialects import openai_chat
from runtime.models.http_model import AsyncHttpClient, Dialect, HttpModel, perf_counter_s, retry_after_s

__all__ = ["OpenAIChat", "retry_after_s"]

_DIALECT = Dialect(
    encode_request=openai_chat.encode_request,
    decode_reply=openai_chat.decode_reply,
    decode_error=openai_chat.decode_error,
    stream_decoder=openai_chat.StreamDecoder,
)


class OpenAIChat(HttpModel):
    """A model port for one provider that speaks chat completions."""

    @checks_arguments
    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None = None,
        provider: str = "openai",
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        client: AsyncHttpClient | None = None,
        clock: Callable[[], float] = perf_counter_s,
        rename_tools: bool | None = None,
    ) -> None:
        """Take the provider's address and credentials.

        Args:
            base_url: Address up to and without `/chat/completions`, usually ending in `/v1`.
            api_key: Sent as bearer token; never part of a message or failure.
            provider: Provider name of the replies, as in `gen_ai.provider.name`.
            stream: Whether to ask for a streamed answer.
            headers: Sent with each call.
            client: Such as an `httpx.AsyncClient`; used in place of our own, in its own event loop only, and not
                closed by `aclose`.
            clock: Monotonic seconds, for chunk offsets.
            rename_tools: Whether names like `order.lookup` travel as `order_lookup`; by default everywhere but to
                loopback.

        Raises:
            UsageError: If the base URL is no http or https address.
        """
        credentials = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        super().__init__(
            _DIALECT,
            base_url=base_url,
            path="/chat/completions",
            secret=api_key,
            provider=provider,
            stream=stream,
            headers={**(headers or {}), **credentials},
            client=client,
            clock=clock,
            rename_tools=rename_tools,
        )
