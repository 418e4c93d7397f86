"""The Gemini dialect: the entry point to its request, reply, stream and error codecs.

`generateContent` and `streamGenerateContent`, as the Gemini API and Vertex AI serve them. Format:
https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.

Theory of operation. Fields are spelled in camel or snake case, and enumerations are names or numbers: servers accept
both, and recorders wrote both. If a part other than a thought has a signature, an empty signed thought before the part
holds it; when sent back, it returns to the part. Only newer calls have an id. Without one, a call and its result are
named by the function and the number of earlier calls of that function in the message.

Output tokens are counted differently: the provider excludes thoughts, and `Usage.output_tokens` includes them, because
they are billed. Likewise `Usage.input_tokens` includes the results of tools that the provider runs. `provider_usage`
returns the provider's own counting.
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
