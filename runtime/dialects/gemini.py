"""The Gemini dialect: the door to its request, reply, stream and error codecs.

`generateContent` and `streamGenerateContent`, as the Gemini API and Vertex AI serve them. Format:
https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.

Theory of operation. Fields are spelled in camel or snake case, enumerations as names or as numbers: servers take
both, and recorders wrote both. The signature of a part that is no thought stands before it as an empty, signed
thought; sent back, it returns to that part. Calls have an id only of late: without one a call is named by its
function and by how many calls of that function come before it in the message, and so is its result.

Output tokens are counted differently: the provider leaves thoughts out, `Usage.output_tokens` holds them all, as
they are billed. So are the input tokens of tools that the provider runs. `provider_usage` is what it said itself.
"""

from __future__ import annotations

from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.gemini_parts import provider_usage
from runtime.dialects.gemini_reply import StreamDecoder, decode_reply
from runtime.dialects.gemini_request import decode_request, encode_request

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_request",
    "provider_usage",
]
