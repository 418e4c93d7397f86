"""The live adapter of Anthropic messages, streamed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runtime.core.signatures import checks_arguments
from runtime.dialects import anthropic_messages
from runtime.models.http_model import AsyncHttpClient, Dialect, HttpModel, perf_counter_s

API_VERSION = "2023-06-01"
"""Version of the API, unless the headers name another."""

_DIALECT = Dialect(
    encode_request=anthropic_messages.encode_request,
    decode_reply=anthropic_messages.decode_reply,
    decode_error=anthropic_messages.decode_error,
    stream_decoder=anthropic_messages.StreamDecoder,
)


class AnthropicMessages(HttpModel):
    """A model port for one provider that speaks Anthropic messages.

    The dialect wants an output limit with each call: `Agent.max_output_tokens`, or `max_tokens` in the parameters.
    """

    @checks_arguments
    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None = None,
        provider: str = "anthropic",
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        client: AsyncHttpClient | None = None,
        clock: Callable[[], float] = perf_counter_s,
        rename_tools: bool | None = None,
    ) -> None:
        """Take the provider's address and credentials.

        Args:
            base_url: Address up to and without `/messages`, usually ending in `/v1`.
            api_key: Sent as `x-api-key`; never part of a message or failure.
            provider: Provider name of the replies, as in `gen_ai.provider.name`.
            stream: Whether to ask for a streamed answer.
            headers: Sent with each call, for example `anthropic-beta`.
            client: Such as an `httpx.AsyncClient`; used in place of our own, in its own event loop only, and not
                closed by `aclose`.
            clock: Monotonic seconds, for chunk offsets.
            rename_tools: Whether names like `order.lookup` travel as `order_lookup`; by default everywhere but to
                loopback.

        Raises:
            UsageError: If the base URL is no http or https address.
        """
        given = {name.lower(): value for name, value in (headers or {}).items()}
        credentials = {} if api_key is None else {"x-api-key": api_key}
        super().__init__(
            _DIALECT,
            base_url=base_url,
            path="/messages",
            secret=api_key,
            provider=provider,
            stream=stream,
            headers={"anthropic-version": API_VERSION, **given, **credentials},
            client=client,
            clock=clock,
            rename_tools=rename_tools,
        )
