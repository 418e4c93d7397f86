"""Server-sent events cleaned by what they say together: a secret split over many deltas is found all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from harness.redaction.edits import TextEdit, edit_pieces
from harness.redaction.redactor import Redactor

_DATA = re.compile(rb"^data:[ ]?(?P<json>[{\[][^\r\n]*)", re.MULTILINE)
_MOST_DEPTH = 64


class _Event(msgspec.Struct):
    """One event's JSON and where it stands in the stream, in bytes."""

    start: int
    end: int
    value: Any


def is_event_stream(content_type: str | None, text: str) -> bool:
    """Return whether a body is a stream of server-sent events, by its header or its form."""
    if content_type is not None and "text/event-stream" in content_type.lower():
        return True
    return text.startswith(("data:", "event:", ":"))


def clean_events(pieces: list[str], redactor: Redactor) -> list[str] | None:
    """Return the pieces of an event stream without secrets; `None` if there were none.

    Texts at one JSON path are read as one text over all events.
    """
    data = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
    events = list(_events(b"".join(data)))
    before = [event.value for event in events]
    _clean_joined(events, redactor)
    edits = []
    for event, old in zip(events, before, strict=True):
        event.value = redactor.value(event.value)
        if event.value is not old:
            edits.append(TextEdit(event.start, event.end, _dump(event.value)))
    if edits:
        data = edit_pieces(data, edits)
    clean = redactor.redact_chunks([piece.decode("utf-8", "surrogatepass") for piece in data])
    return None if clean == pieces else clean


def _events(data: bytes) -> Iterator[_Event]:
    for found in _DATA.finditer(data):
        try:
            value = orjson.loads(found["json"])
        except orjson.JSONDecodeError:
            continue
        yield _Event(found.start("json"), found.end("json"), value)


def _clean_joined(events: list[_Event], redactor: Redactor) -> None:
    """Clean the texts that several events make together."""
    texts: dict[tuple[str | int, ...], list[tuple[_Event, tuple[str | int, ...], str]]] = {}
    for event in events:
        for where, path, text in _leaves(event.value, (), ()):
            texts.setdefault(where, []).append((event, path, text))
    for parts in texts.values():
        if len(parts) < 2:
            continue
        clean = redactor.redact_chunks([text for _, _, text in parts])
        for (event, path, old), new in zip(parts, clean, strict=True):
            if new != old:
                event.value = _replaced(event.value, path, new)


def _leaves(
    value: Any, where: tuple[str | int, ...], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], tuple[str | int, ...], str]]:
    """Yield each text with its place in the stream and its path in the event.

    They differ where an item says its own index, as the deltas of parallel calls do.
    """
    if len(path) > _MOST_DEPTH:
        return
    match value:
        case str():
            yield where, path, value
        case dict():
            index = value.get("index")
            here = (*where, index) if isinstance(index, int) else where
            for name, item in value.items():
                yield from _leaves(item, (*here, name), (*path, name))
        case list():
            for at, item in enumerate(value):
                own = isinstance(item, dict) and isinstance(item.get("index"), int)
                yield from _leaves(item, where if own else (*where, at), (*path, at))
        case _:
            return


def _replaced(value: Any, path: tuple[str | int, ...], new: str) -> Any:
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, str(head): _replaced(value[head], rest, new)}
    items = list(value)
    items[int(head)] = _replaced(items[int(head)], rest, new)
    return items


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
