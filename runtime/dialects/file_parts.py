"""Keep multimodal parts of any dialect by reference: an address as it is, inline bytes as their digest."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from runtime.core.canonical import digest
from runtime.core.messages import FilePart
from runtime.dialects.fields import string
from runtime.dialects.jsontext import arguments_text


def file_at(modality: str, uri: str, mime_type: str | None = None) -> FilePart:
    """Return a file by its address; of a `data:` address only the digest is kept."""
    if not uri.startswith("data:"):
        return FilePart(modality=modality, mime_type=mime_type or None, uri=uri or None)
    head, _, data = uri.partition(",")
    return inline_file(modality, head.removeprefix("data:").partition(";")[0], data)


def inline_file(modality: str, mime_type: str, data: str) -> FilePart:
    """Return a file of base64 text by the digest of its bytes."""
    try:
        content = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        content = data.encode("utf-8", "replace")
    return digested_file(modality, mime_type, content)


def digested_file(modality: str, mime_type: str, content: bytes) -> FilePart:
    """Return a file by the digest of its bytes."""
    return FilePart(
        modality=modality, mime_type=mime_type or None, digest=digest(content), size_bytes=len(content)
    )


def foreign_part(wire: Any, kind: str = "") -> FilePart:
    """Return the digest of a part whose kind a trace does not keep.

    Args:
        wire: The part in its wire format.
        kind: Its kind; by default the part's `type`.
    """
    known = kind or (string(wire.get("type")) if isinstance(wire, dict) else "")
    return FilePart(
        modality=known or "unknown", digest=digest(arguments_text(wire).encode("utf-8", "replace"))
    )


def modality_of(mime_type: str) -> str:
    """Return the modality of a media type: `image`, `audio`, `video` or `file`."""
    kind = mime_type.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"
