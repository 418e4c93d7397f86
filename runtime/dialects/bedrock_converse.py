"""The Bedrock converse dialect: the entry point to its request, reply, stream and error codecs.

`converse` and `converse-stream`, and `invoke` of the Nova models, whose bodies have the same form. Format:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and `..._ConverseStream.html`;
of Nova: https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html.

Theory of operation. A block is an object with one field, whose name is its kind. A stream is an AWS event stream. The
type of a message is the name of the event, so an event is read as `{type: payload}`. SDKs show this form and Nova
sends it.

Input tokens are counted differently: the provider's `inputTokens` exclude cached ones, and `Usage.input_tokens`
includes them. `provider_usage` converts back to the provider's counting.
"""

from __future__ import annotations

from runtime.dialects.anthropic_messages_parts import provider_usage
from runtime.dialects.bedrock_converse_reply import StreamDecoder, decode_reply, event_of
from runtime.dialects.bedrock_converse_request import decode_request, encode_request
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_request",
    "event_of",
    "provider_usage",
]
