"""Files of the Anthropic messages dialect (images, documents, blocks of other kinds), which are kept by reference."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import FilePart
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import string
from runtime.dialects.file_parts import digested_file, foreign_part, inline_file

FILE_BLOCKS = frozenset({"image", "document"})
"""Types of the blocks that hold a file."""


def encode_file(part: FilePart) -> dict[str, Any]:
    """Return the block of a file: its address, its id at the provider, or the bytes of a `data:` uri.

    Raises:
        DialectError: If the part has no uri, or is neither image nor document.
    """
    kind = "document" if part.modality == "file" else part.modality
    if kind not in FILE_BLOCKS:
        raise DialectError(
            f"a {part.modality} part cannot be sent in a messages request",
            next_step="send an image or a document",
        )
    if part.uri is None:
        raise DialectError(
            f"a {part.modality} part without a uri cannot be sent",
            next_step="keep the bytes where a uri reaches them and name it in the part",
        )
    if part.uri.startswith("data:"):
        head, _, data = part.uri.partition(",")
        media_type = head.removeprefix("data:").partition(";")[0]
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif "://" in part.uri:
        source = {"type": "url", "url": part.uri}
    else:
        source = {"type": "file", "file_id": part.uri}
    return {"type": kind, "source": source}


def decode_file(block: dict[str, Any]) -> FilePart:
    """Return an image or document by reference; of inline bytes only the digest is kept."""
    modality = string(block.get("type"))
    source = block.get("source")
    mime_type = string(source.get("media_type")) if isinstance(source, dict) else ""
    match source:
        case {"type": "url", "url": str(uri)} | {"type": "file", "file_id": str(uri)} if uri:
            return FilePart(modality=modality, uri=uri)
        case {"type": "base64", "data": str(data)}:
            return inline_file(modality, mime_type, data)
        case {"type": "text", "data": str(data)}:
            return digested_file(modality, mime_type, data.encode("utf-8", "replace"))
        case _:
            return foreign_part(block)
