"""The parts of a message without their secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runtime.core.messages import (
    FilePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)


def clean_part(part: Part, text: Callable[[str], str], value: Callable[[Any], Any]) -> Part:
    """Return a part cleaned by these two; the same object if nothing changed."""
    match part:
        case TextPart() | ReasoningPart() | RefusalPart():
            clean = text(part.content)
            return part if clean is part.content else msgspec.structs.replace(part, content=clean)
        case ToolCallPart():
            arguments = value(part.arguments)
            return part if arguments is part.arguments else ToolCallPart(part.id, part.name, arguments)
        case ToolResponsePart():
            clean = text(part.response)
            return part if clean is part.response else ToolResponsePart(part.id, clean)
        case FilePart():
            uri = None if part.uri is None else text(part.uri)
            return part if uri is part.uri else msgspec.structs.replace(part, uri=uri)
