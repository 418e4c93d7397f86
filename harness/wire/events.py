"""Server-sent events cleaned by what they say together: a secret split over many deltas is found all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from harness.redaction.redactor import Redactor
from harness.wire.edits import Edit, apply_edits, clean_pieces

_DATA = re.compile(r"^data:[ ]?(?P<json>[{\[][^\r\n]*)", re.MULTILINE)
_MOST_DEPTH = 64


class _Event(msgspec.Struct):
    """One event's JSON and where it stands in the text."""

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
    text = "".join(pieces)
    events = list(_events(text))
    before = [event.value for event in events]
    _clean_joined(events, redactor)
    edits = []
    for event, old in zip(events, before, strict=True):
        event.value = redactor.value(event.value)
        if event.value is not old:
            edits.append(Edit(event.start, event.end, _dump(event.value)))
    edited = apply_edits(pieces, edits) if edits else pieces
    rest = clean_pieces(edited, redactor.text)
    if rest is not None:
        return rest
    return edited if edits else None


def _events(text: str) -> Iterator[_Event]:
    for found in _DATA.finditer(text):
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
        cleaned = clean_pieces([text for _, _, text in parts], redactor.text)
        if cleaned is None:
            continue
        for (event, path, old), new in zip(parts, cleaned, strict=True):
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


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
