"""Tool names on the wire: providers take letters, digits, `_` and `-` only, so `order.lookup` must travel renamed.

The renaming belongs to one exchange and is undone in its reply; keys, traces and policies keep the real names.
"""

from __future__ import annotations

import re

import msgspec

from runtime.core.messages import Message, ModelReply, ModelRequest, Part, ToolCallPart

MAX_CHARS = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


class WireNames:
    """The names of one request's tools as they travel."""

    def __init__(self, request: ModelRequest) -> None:
        self._out: dict[str, str] = {}
        self._back: dict[str, str] = {}
        for tool in request.tools:
            self._name(tool.name)
        for message in request.messages:
            for part in message.parts:
                if isinstance(part, ToolCallPart):
                    self._name(part.name)

    def sent(self, request: ModelRequest) -> ModelRequest:
        """Return the request under names that may travel; the same object if all of them may."""
        if all(name == wire for name, wire in self._out.items()):
            return request
        tools = tuple(msgspec.structs.replace(t, name=self._out[t.name]) for t in request.tools)
        messages = tuple(
            Message(role=m.role, parts=_renamed(m.parts, self._out)) if m.role == "assistant" else m
            for m in request.messages
        )
        return msgspec.structs.replace(request, tools=tools, messages=messages)

    def received(self, reply: ModelReply) -> ModelReply:
        """Return the reply under the tools' real names; a name that was not sent stays as it is."""
        if not reply.tool_calls:
            return reply
        return msgspec.structs.replace(reply, parts=_renamed(reply.parts, self._back))

    def _name(self, name: str) -> None:
        if name in self._out:
            return
        wire = stem = _FOREIGN.sub("_", name)[:MAX_CHARS] or "_"
        number = 2
        while wire in self._back:
            suffix = f"_{number}"
            wire, number = stem[: MAX_CHARS - len(suffix)] + suffix, number + 1
        self._out[name] = wire
        self._back[wire] = name


def _renamed(parts: tuple[Part, ...], names: dict[str, str]) -> tuple[Part, ...]:
    return tuple(
        ToolCallPart(id=p.id, name=names.get(p.name, p.name), arguments=p.arguments)
        if isinstance(p, ToolCallPart)
        else p
        for p in parts
    )
