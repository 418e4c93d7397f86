"""Errors of all dialects: convert a status and a body to a failure value.

Providers agree on little: `{"error": {"message", "type", "code"}}` (OpenAI and those like it), `{"error": "text"}`
(Ollama), `{"message": ...}` (Cohere, and AWS with the type in `__type`), `{"error": {"code", "message", "status"}}`,
also in a list (Google), `{"detail": ...}` (Mistral, FastAPI).
"""

from __future__ import annotations

from typing import Any

from runtime.core.effects import Failure, FailureKind
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import word
from runtime.dialects.jsontext import mend_text, parse_json

MAX_MESSAGE_CHARS = 2_000
"""Maximum length of a message; gateways answer with whole web pages."""

_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_NEVER_RETRYABLE = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_TRANSIENT = frozenset(
    {
        "server_error",
        "internal_server_error",
        "overloaded_error",
        "rate_limit_exceeded",
        "rate_limit_error",
        "throttlingException",
        "serviceUnavailableException",
        "internalServerException",
        "modelTimeoutException",
        "modelStreamErrorException",
    }
)
_RATE_LIMITS = frozenset({"rate_limit_exceeded", "rate_limit_error", "throttlingException"})


def decode_error(status: int | None, body: Any, *, retry_after_s: float | None = None) -> Failure:
    """Return the failure of an error response; never raises.

    429 is `rate_limited`; 408, 409, 429 and 5xx are retryable, other 4xx are not, nor is a spent quota. Without a
    status of its own (an error event inside a stream, or an error body under 200) the body's numeric code counts.

    Args:
        status: HTTP status; `None` for an error event inside a stream.
        body: The decoded JSON, or the text if it was not JSON.
        retry_after_s: Seconds of the `retry-after` header.
    """
    error = _error_object(body)
    code = word(error.get("code"))
    named = code if code is not None and not code.isdigit() else _type(error)
    effective = status
    if status is None or status < 400:
        effective = _stated_status(error)
    return Failure(
        kind=_failure_kind(effective, named),
        message=_message(error, body, effective),
        retryable=_is_retryable(effective, named),
        phase="stream" if status is None else phase_of(status, retryable=_is_retryable(effective, named)),
        error_type=named or code or (None if effective is None else str(effective)),
        after_s=retry_after_s,
    )


def _type(error: dict[str, Any]) -> str | None:
    """Return the error's own type: its `type`, AWS's `__type` (`a.b#Name:url`) or Google's `status`."""
    aws = word(error.get("__type"))
    if aws is not None:
        return aws.partition(":")[0].rpartition("#")[2] or None
    status = word(error.get("status"))
    return word(error.get("type")) or (None if status is None or status.isdigit() else status)


def phase_of(status: int, *, retryable: bool) -> str:
    """Return where an exchange with an error status failed: a request that was refused as wrong did nothing.

    A gateway that got no valid answer (502) may have handed the request on: that one is `lost`.
    """
    if status == 502:
        return "lost"
    return "rejected" if 400 <= status < 500 and not retryable else "response"


def _error_object(body: Any) -> dict[str, Any]:
    """Return the object with message, type and code, wherever the server put it."""
    if isinstance(body, (str, bytes)):
        try:
            body = parse_json(body)
        except DialectError:
            return {}
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {**body, "message": error}
    return body


def _message(error: dict[str, Any], body: Any, status: int | None) -> str:
    for name in ("message", "Message", "detail", "error"):
        found = error.get(name)
        if isinstance(found, str) and found.strip():
            return mend_text(found)[:MAX_MESSAGE_CHARS]
        if isinstance(found, (dict, list)) and found:
            return repr(found)[:MAX_MESSAGE_CHARS]
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str) and body.strip():
        return mend_text(body)[:MAX_MESSAGE_CHARS]
    return "the model's server answered with an error" if status is None else f"HTTP status {status}"


def _stated_status(error: dict[str, Any]) -> int | None:
    for name in ("status", "status_code", "code"):
        stated = word(error.get(name))
        if stated is not None and stated.isascii() and stated.isdigit() and 400 <= int(stated[:6]) <= 599:
            return int(stated)
    return None


def _failure_kind(status: int | None, named: str | None) -> FailureKind:
    match status:
        case 429:
            return FailureKind.RATE_LIMITED
        case 408 | 504:
            return FailureKind.TIMEOUT
        case 502 | 503 | 529:
            return FailureKind.UNAVAILABLE
        case None if named in _RATE_LIMITS:
            return FailureKind.RATE_LIMITED
        case _:
            return FailureKind.ERROR


def _is_retryable(status: int | None, named: str | None) -> bool:
    if named in _NEVER_RETRYABLE:
        return False
    if status is None:
        return named in _TRANSIENT
    return status in _RETRYABLE_STATUS or status >= 500
