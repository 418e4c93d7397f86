"""The Anthropic messages dialect: the entry point to its request, reply, stream and error codecs.

Theory of operation. A reply is a list of blocks. Text, thinking and tool use become parts, in order. The signature of
a thinking block is kept and sent back unchanged. Blocks of tools that the provider runs itself (web search, code
execution, MCP) are not calls of the agent: replies omit them, requests keep their digest.

Input tokens are counted differently: the provider's `input_tokens` exclude cached ones, and `Usage.input_tokens`
includes them. `provider_usage` converts back to the provider's counting.
"""

from __future__ import annotations

from runtime.dialects.anthropic_messages_error import decode_error, encode_error
from runtime.dialects.anthropic_messages_parts import provider_usage
from runtime.dialects.anthropic_messages_reply import decode_reply, encode_reply
from runtime.dialects.anthropic_messages_request import decode_request, encode_request
from runtime.dialects.anthropic_messages_stream import StreamDecoder, encode_stream, event_name
from runtime.dialects.errors import DialectError

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_error",
    "encode_reply",
    "encode_request",
    "encode_stream",
    "event_name",
    "provider_usage",
]
