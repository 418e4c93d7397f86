"""Runs kept as OpenAI chat messages: a list of messages, `{"messages": [...]}`, or lists of these.

`model`, `id`, `tools` and `metadata` beside the messages are read where they stand. A conversation that ends with a
call or a turn of the user is `open`: nothing tells how it went on. Results pair with calls by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.importers.runlog import ForeignRunLog, Said
from harness.importers.sources import Document, plain_stem
from runtime.core.effects import CallStatus, ToolResult
from runtime.core.messages import Message, ToolResponsePart
from runtime.dialects import openai_chat
from runtime.dialects.errors import DialectError

FORMAT = "openai-messages"
UNKNOWN = "unknown"


def read(document: Any, file: str) -> list[ForeignRunLog | None] | None:
    """Return the runs of a document; `None` if it holds no conversation in any of the forms."""
    if (run := _run(document, file)) is not None:
        return [run]
    if not isinstance(document, list) or not document:
        return None
    runs = [_run(entry, file) for entry in document]
    return None if all(run is None for run in runs) else runs


def is_message(value: Any) -> bool:
    """Tell whether a value is one chat message: such lines of a JSONL file are one conversation."""
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "messages" not in value


def joined(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents of a JSONL file; neighbouring lines that are single messages become one conversation."""
    messages: list[Any] = []
    where = ""
    for document in documents:
        if is_message(document.value):
            where = where or document.where
            messages.append(document.value)
            continue
        if messages:
            yield Document(messages, where)
            messages, where = [], ""
        yield document
    if messages:
        yield Document(messages, where)


def chat(messages: Any) -> tuple[Message, ...] | None:
    """Return chat messages in our form; `None` if they are none."""
    if not isinstance(messages, list) or not messages or not all(map(is_message, messages)):
        return None
    try:
        return openai_chat.decode_request({"messages": messages}).messages
    except DialectError:
        return None


def said(message: Message, status: CallStatus = "ok") -> Said:
    """Return a message as an importer tells it; a result pairs by the id of its call."""
    answer = next((part for part in message.parts if isinstance(part, ToolResponsePart)), None)
    if answer is None:
        return Said(message=message)
    error = None if status == "ok" else answer.response
    result = ToolResult(content=answer.response, status=status, error=error)
    return Said(message=message, result=result, answers=answer.id)


def _run(document: Any, file: str) -> ForeignRunLog | None:
    fields = document if isinstance(document, dict) else {"messages": document}
    messages = chat(fields.get("messages"))
    if messages is None:
        return None
    metadata = fields.get("metadata")
    labels = dict(metadata) if isinstance(metadata, dict) else {}
    stem = plain_stem(Path(file))
    return ForeignRunLog(
        source=Path(file).name,
        content=document,
        messages=tuple(map(said, messages)),
        model=_text(fields.get("model")) or UNKNOWN,
        tenant=FORMAT,
        agent=stem,
        task=_text(fields.get("id")),
        labels=labels,
        group=stem,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
