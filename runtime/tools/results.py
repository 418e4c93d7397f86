"""The text of tool results, and its size cap: what is too large becomes an artifact, and the model sees its head.

The head is cut between characters, and says how large the whole is and under which digest it is kept, so that a
tool that reads artifacts can fetch it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from runtime.core.canonical import canonical_bytes, valid_text
from runtime.errors import UsageError

MIN_LIMIT_BYTES = 256
"""The least a result may be limited to: the line about the rest must fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedResult:
    """What the model is shown of a result.

    Attributes:
        content: The text for the model, at most the limit in UTF-8 bytes.
        artifact: Digest of the whole text's artifact; `None` if all of it is in `content`.
        size_bytes: Size of the whole text.
    """

    content: str
    artifact: str | None
    size_bytes: int


def cap_result(text: str, limit_bytes: int, put: Callable[[bytes], str] | None) -> CappedResult:
    """Return a tool's text as the model may see it.

    Args:
        text: The whole result.
        limit_bytes: What the model may be shown, in UTF-8 bytes, the line about the rest included.
        put: Keeps bytes and returns their digest: `Artifacts.put` of the run's scope. Called only if the text is
            too large; what it raises is raised. `None` where nobody keeps them, and the text says so.

    Raises:
        UsageError: If the limit is below 256 bytes.
    """
    if limit_bytes < MIN_LIMIT_BYTES:
        raise UsageError(f"a result cannot be limited to {limit_bytes} bytes", next_step="allow at least 256")
    # Characters are at most as many as bytes, and a byte count of ASCII text needs no encoding.
    if text.isascii() and len(text) <= limit_bytes:
        return CappedResult(content=text, artifact=None, size_bytes=len(text))
    raw = valid_text(text).encode()
    if len(raw) <= limit_bytes:
        return CappedResult(content=raw.decode(), artifact=None, size_bytes=len(raw))
    digest = None if put is None else put(raw)
    where = "the rest was not kept" if digest is None else f"all of it is artifact sha256:{digest}"
    note = f"\n[cut: the result has {len(raw)} bytes; {where}]"
    head = raw[: max(limit_bytes - len(note.encode()), 0)].decode("utf-8", "ignore")
    return CappedResult(content=head + note, artifact=digest, size_bytes=len(raw))


def text_of(result: Any) -> str:
    """Return what a model sees of a result: text as it is, anything else as canonical JSON.

    A function that returned has had its effect, so a result without a JSON form is no failure: the text says so.
    """
    if isinstance(result, str):
        return valid_text(result)
    try:
        return canonical_bytes(msgspec.to_builtins(_plain(result), str_keys=True, enc_hook=_foreign)).decode()
    except Exception:  # noqa: BLE001 - foreign code makes the JSON, and whatever it raises, the call was made
        return f"[the call was made; its result has no JSON form: {type(result).__qualname__}]"


def _plain(value: Any) -> Any:
    """Return a pydantic model as JSON values; other values as they are."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _foreign(value: Any) -> Any:
    """Return a value within a result, of a type that msgspec does not know, as JSON values."""
    found = _plain(value)
    if found is value:
        raise NotImplementedError
    return found
