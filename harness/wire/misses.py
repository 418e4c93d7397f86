"""Requests that a recording cannot answer: the signal inside the client, the error afterwards, their words.

Rules.
1. The signal is no `Exception`: an agent, a tool or an SDK's retry loop cannot take it for a flaky network.
2. It is kept on the session too, and raised again as `WireMiss` when the session ends, swallowed or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from harness.first_difference import first_difference, windows
from harness.wire.exchange import HttpRequest
from harness.wire.request_key import body_form, level
from runtime.errors import CheckFailed, Signal

MissVerdict = Literal[
    "changed", "repeated", "extra", "cut_off", "read_on", "dropped", "network", "ambiguous", "blocked"
]
WINDOW = 40
"""Characters shown on each side of a change."""
_MOST_SHOWN = 3


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """One request without a recorded answer.

    Attributes:
        verdict: How it differs: changed, repeated too often, nothing like it, an answer that was not kept, or a
            connection past the recorded clients.
        method: Its method.
        url: Its URL, redacted.
        call: Which call of the session it was, from 1.
        nearest: Number of the recorded exchange that is most like it.
        path: JSON path of the first difference to that one.
        recorded: The recorded value around the difference.
        sent: The value sent now.
        detail: What else there is to say.
        cause: What changed, in the words of replay: prompt, tool schema, model, upstream result, count, ...
    """

    verdict: MissVerdict
    method: str
    url: str
    call: int
    nearest: int | None = None
    path: str | None = None
    recorded: str | None = None
    sent: str | None = None
    detail: str | None = None
    cause: str = "code"

    def line(self) -> str:
        """Return the miss in one line, its cause first."""
        request = f"{self.method} {self.url} (call {self.call})"
        if self.path is not None:
            return f"cause: {self.cause}: {self.path}: {self.recorded} -> {self.sent}; {request}"
        return f"cause: {self.cause}: {request}: {self.detail}"

    def text(self) -> str:
        """Return the miss in words."""
        request = f"{self.method} {self.url} (call {self.call})"
        match self.verdict:
            case "repeated":
                return f"{request} was made more often than it was recorded: {self.detail}"
            case "cut_off" | "read_on" | "dropped" | "network" | "ambiguous" | "blocked":
                return f"{request}: {self.detail}"
            case _:
                lines = f"no recorded answer for {request}"
        if self.nearest is None:
            return f"{lines}\n  nearest: none; {self.detail}"
        text = f"{lines}\n  nearest: exchange {self.nearest}"
        return f"{text}, differs in {self.path}: {self.recorded} -> {self.sent}"


class Unanswered(Signal):
    """Stops a client whose request has no recorded answer."""

    def __init__(self, miss: Miss, where: str) -> None:
        self.miss = miss
        super().__init__(f"{where}: {miss.text()}")


class WireMiss(CheckFailed, AssertionError):
    """A replay made a request that was not recorded, or did not make one that was.

    Attributes:
        misses: The requests without answer, in order.
        unused: Numbers of the recorded exchanges that no request used, if that was to be checked.
    """

    def __init__(self, misses: Sequence[Miss], *, where: str, unused: Sequence[int] = ()) -> None:
        self.misses: tuple[Miss, ...] = tuple(misses)
        self.unused: tuple[int, ...] = tuple(unused)
        shown = [miss.text() for miss in self.misses[:_MOST_SHOWN]]
        if len(self.misses) > _MOST_SHOWN:
            shown.append(f"and {len(self.misses) - _MOST_SHOWN} more")
        if self.unused:
            numbers = ", ".join(map(str, self.unused[:10])) + (" ..." if len(self.unused) > 10 else "")
            shown.append(f"{len(self.unused)} recorded exchanges were not used: {numbers}")
        super().__init__(
            "\n".join(shown),
            where=where,
            next_step="if the change is wanted, record again: mode='record' or `goldrun record`",
        )


def request_difference(recorded: HttpRequest, sent: HttpRequest) -> tuple[str, str, str]:
    """Return the path of the first difference of two requests and the values around it."""
    if recorded.method != sent.method:
        return "method", recorded.method, sent.method
    old_url, new_url = level(recorded.url), level(sent.url)
    if old_url != new_url:
        return ("url", *_around(old_url, new_url))
    a, b = body_form(recorded), body_form(sent)
    if a[0] != b[0]:
        return "body", f"<{a[0]}>", f"<{b[0]}>"
    found = first_difference(a[1:], b[1:], "body")
    if found is None:
        return "body", "<equal>", "<equal>"
    path = found.path.replace("body[0]", "body" if a[0] != "json" else "$", 1)
    if isinstance(found.a, str) and isinstance(found.b, str):
        return (path, *_around(found.a, found.b))
    return path, _short(found.a), _short(found.b)


def _around(old: str, new: str) -> tuple[str, str]:
    """Return the surroundings of the first difference of two texts."""
    before, now = windows(old, new, WINDOW)
    return repr(before), repr(now)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 2 * WINDOW else text[: 2 * WINDOW] + "…"
