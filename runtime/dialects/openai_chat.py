"""The OpenAI chat-completions dialect: the entry point to its request, reply, stream and error codecs.

Azure, OpenRouter, Groq, Mistral, DeepSeek, Together, Cerebras, Ollama, vLLM and others speak it too. Their additions
(`reasoning`, content lists, `x_groq`, `usage.cost`) are read if a trace keeps such facts. The provider's name is not
part of the dialect: the caller sets it.
"""

from __future__ import annotations

from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.openai_chat_reply import decode_reply, encode_reply
from runtime.dialects.openai_chat_request import decode_request, encode_request
from runtime.dialects.openai_chat_stream import StreamDecoder, encode_stream

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "encode_stream",
]
