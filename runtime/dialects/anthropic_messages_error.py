"""Errors of the Anthropic messages dialect: convert a status and a body to a failure value, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.core.effects import Failure
from runtime.dialects.failures import decode_error as decode_http_error

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status of each documented error type (Anthropic API reference, "Errors")."""
_TYPES = {status: name for name, status in _STATUS.items()}


def decode_error(status: int | None, body: Any, *, retry_after_s: float | None = None) -> Failure:
    """Return the failure of an error response; never raises.

    429 is `rate_limited`, 529 (overloaded) `unavailable`; both are retryable, as are 408, 409 and 5xx; other 4xx are
    not. Without a status of its own (an error event inside a stream, or an error body under 200) the error's type
    stands for the status that it comes with elsewhere.

    Args:
        status: HTTP status; `None` for an error event inside a stream.
        body: The decoded JSON, or the text if it was not JSON.
        retry_after_s: Seconds of the `retry-after` header.
    """
    failure = decode_http_error(status, body, retry_after_s=retry_after_s)
    implied = _STATUS.get(failure.error_type or "")
    if implied is None or (status is not None and status >= 400):
        return failure
    known = decode_http_error(implied, body, retry_after_s=retry_after_s)
    return msgspec.structs.replace(known, phase=failure.phase)


def encode_error(status: int, message: str, error_type: str | None = None) -> dict[str, Any]:
    """Return the error body of a status; without `error_type` it gets the type documented for the status."""
    known = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": error_type or known, "message": message}}
