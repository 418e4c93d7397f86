"""The shape of a golden document, `goldrun.cassette/1`: what stands in the file, before it becomes a recording."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from runtime.core.canonical import canonical_bytes
from runtime.core.effects import EffectKind
from runtime.core.messages import Role

SCHEMA = "goldrun.cassette/1"

Shape = Literal["call", "intent", "outcome", "guard"]
"""How an interaction was recorded: intent and outcome, intent alone (in flight), outcome alone, or by a guard."""


class _Entry(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of the parts; a field nobody knows is refused."""


class MessageEntry(_Entry):
    """A message that no reply or result says already, stored once.

    Elsewhere a message is named by its id (`m1`), or by the lane of the model call (`0.model/1`) or tool call
    (`0.tool0/1`) whose reply or result it repeats.
    """

    id: str
    role: Role
    parts: list[dict[str, Any]]


class InteractionEntry(_Entry):
    """One effect with its outcome."""

    lane: str
    kind: EffectKind
    shape: Shape | None = None
    name: str | None = None
    call_id: str | None = None
    key: str | None = None
    write: bool = False
    at: float | None = None
    duration_s: float | None = None
    request: Any = None
    outcome: Any = None
    failure: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    cost_nanousd: int | None = None


class GoldenDocument(_Entry):
    """The whole file; `header`, `request` and `outcome` are described in `docs/cassette-format.md`."""

    schema: str
    root: str
    header: dict[str, Any]
    provenance: dict[str, Any] = {}
    messages: list[MessageEntry] = []
    interactions: list[InteractionEntry] = []
    end: dict[str, Any] | None = None
    children: list[dict[str, Any]] = []
    """Documents of the runs that its tool calls started."""


def default_shape(kind: EffectKind) -> Shape:
    """Return the shape that is not written out for a kind."""
    return "call" if kind in {EffectKind.MODEL, EffectKind.TOOL} else "outcome"


def content_root(document: dict[str, Any]) -> str:
    """Return the root of a document as plain JSON: SHA-256 over its canonical form without the root itself.

    Line ends and indentation may change in version control; content may not.
    """
    content = {key: value for key, value in document.items() if key != "root"}
    return "sha256:" + hashlib.sha256(canonical_bytes(content)).hexdigest()
