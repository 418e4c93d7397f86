"""The dictionary of a segment: text that its runs share, stored once, so that short runs compress too.

It is made of instructions, system messages and tool schemas that at least two runs have in common, and of the field
names of records. Nothing that only one run says gets into it, so deleting a run deletes what it said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from runtime.core.effects import EffectKind
from runtime.core.run import Header
from runtime.journal.records import Record, encode_json, encode_payload, raw

MAX_COMMON_BYTES = 110 * 1024
_SHARED_BY = 2


def common_text(headers: Iterable[Header]) -> bytes:
    """Return the text that runs with these headers share, the most common last; empty if they share nothing."""
    found: Counter[bytes] = Counter()
    for header in headers:
        pieces = {encode_json(header.instructions)} if header.instructions else set()
        pieces |= {encode_json(message) for message in header.input if message.role == "system"}
        if header.tools != "opaque":
            pieces |= {encode_json(declared) for declared in header.tools}
        found.update(pieces)
    shared = sorted((count, piece) for piece, count in found.items() if count >= _SHARED_BY)
    kept: list[bytes] = []
    size = 0
    for _, piece in reversed(shared):
        if size + len(piece) <= MAX_COMMON_BYTES:
            kept.append(piece)
            size += len(piece)
    return b"\n".join((*reversed(kept), _skeleton()))


@lru_cache(maxsize=1)
def _skeleton() -> bytes:
    """Return records without content: the field names and their order."""
    limits = b'"limits":{"deadline_s":600.0,"timeout_s":120.0,"max_output_tokens":0,"idempotency_key":"'
    return b"\n".join((limits, *map(encode_payload, (*_model_records(), *_tool_records()))))


def _model_records() -> tuple[Record, ...]:
    reply = {
        "cost_nanousd": 0,
        "finish_reason": "tool_call",
        "parts": [
            {"content": "", "type": "text"},
            {"arguments": {}, "id": "call_", "name": "", "type": "tool_call"},
        ],
        "provider": "",
        "response_model": "",
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    requested = {
        "append": [{"parts": [{"content": "", "type": "text"}], "role": "assistant"}],
        "base": 0,
        "keep": 0,
    }
    return (
        Record(
            run="run_",
            seq=1,
            lane="0.model/1",
            phase="intent",
            kind=EffectKind.MODEL,
            key="",
            request=raw(requested),
        ),
        Record(
            run="run_",
            seq=2,
            lane="0.model/1",
            phase="outcome",
            kind=EffectKind.MODEL,
            at=0.1,
            duration_s=0.1,
            outcome=raw(reply),
        ),
    )


def _tool_records() -> tuple[Record, ...]:
    said = {
        "append": [{"parts": [{"id": "call_", "response": "", "type": "tool_call_response"}], "role": "tool"}]
    }
    return (
        Record(
            run="run_",
            seq=3,
            lane="0.tool0/1",
            phase="intent",
            kind=EffectKind.TOOL,
            call_id="call_",
            request=raw({"args_hash": "", "arguments": {}}),
        ),
        Record(
            run="run_",
            seq=4,
            lane="0.tool0/1",
            phase="outcome",
            kind=EffectKind.TOOL,
            call_id="call_",
            at=0.1,
            duration_s=0.1,
            outcome=raw({"content": ""}),
        ),
        Record(run="run_", seq=5, lane="1.model/1", phase="intent", kind=EffectKind.MODEL, request=raw(said)),
    )
