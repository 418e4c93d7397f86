"""The OpenAI responses dialect: the door to its request, reply, stream and error codecs.

Spoken by OpenAI, Azure, OpenRouter, xAI, Groq, vLLM and others. Format: "Responses" and "Streaming events" of the
API reference, https://platform.openai.com/docs/api-reference/responses.

Theory of operation. A reply is a list of items: messages, reasoning, calls. What one reply says stands in items that
follow each other; in a request they are read as one assistant message. Calls of tools that the provider runs
itself (web search, file search, code interpreter, MCP) are no calls of the agent: replies leave them out, requests
keep their digest. How a reply ended is its `status`; `incomplete_details` says why it is not complete.
"""

from __future__ import annotations

from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.openai_responses_reply import decode_reply
from runtime.dialects.openai_responses_request import decode_request, encode_request
from runtime.dialects.openai_responses_stream import StreamDecoder

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_request",
]
