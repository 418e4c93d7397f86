"""The OpenAI responses dialect: the entry point to its request, reply, stream and error codecs.

OpenAI, Azure, OpenRouter, xAI, Groq, vLLM and others speak it. Format: "Responses" and "Streaming events" of the API
reference, https://platform.openai.com/docs/api-reference/responses.

Theory of operation. A reply is a list of items: messages, reasoning, calls. In a request, adjacent items of an
assistant are read as one message. Calls of tools that the provider runs itself (web search, file search, code
interpreter, MCP) are not calls of the agent: replies omit them, requests keep their digest. `status` says how a reply
ended, and `incomplete_details` why it is incomplete.
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
