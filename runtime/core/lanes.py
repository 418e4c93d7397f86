"""Lanes: what an effect is for, not when it was issued.

`<step>.<what>[<call index>]/<attempt>`: `4.model/1`, `4.tool2/1`, `4.wait/2`. A child run prefixes the lane of
the call that started it: `4.tool2/1>0.model/1`. A lane is unique in its run.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

BEGIN_LANE = "begin"
END_LANE = "end"
_FORM = re.compile(r"^(?:(?P<prefix>.+)>)?(?P<step>\d+)\.(?P<what>[a-z_]+)(?P<index>\d+)?/(?P<attempt>\d+)$")


class Lane(msgspec.Struct, frozen=True):
    """The parts of a lane's text."""

    prefix: str | None
    step: int
    what: str
    index: int | None
    attempt: int


def lane(step: int, what: str, *, index: int | None = None, attempt: int = 1) -> str:
    """Return the text of a lane."""
    return f"{step}.{what}/{attempt}" if index is None else f"{step}.{what}{index}/{attempt}"


@lru_cache(maxsize=1024)
def parse_lane(text: str) -> Lane:
    """Return the parts of a lane; all runs have nearly the same lanes.

    Raises:
        ValueError: If the text is no lane of a step.
    """
    found = _FORM.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no lane; lanes look like '4.tool2/1'")
    prefix, step, what, index, attempt = found.groups()
    return Lane(prefix, int(step), what, None if index is None else int(index), int(attempt))


def step_of(text: str) -> int | None:
    """Return the step a lane belongs to; `None` for begin and end."""
    head = text.rsplit(">", 1)[-1].partition(".")[0]
    return int(head) if head.isdigit() else None


def is_first_attempt(text: str) -> bool:
    """Return whether a lane is the first attempt at what it is for."""
    return text.endswith("/1")


def admits_model(text: str) -> bool:
    """Return whether an admission's lane is for a call of the model; the others name the index of a tool call."""
    return _what(text).startswith("admit/")


def call_lane(text: str) -> str:
    """Return the lane of the call that a lane of an admission or an approval is for."""
    what = _what(text)
    name = "admit" if what.startswith("admit") else "approval"
    call = "model" if admits_model(text) else "tool"
    return text.removesuffix(what) + call + what.removeprefix(name)


def admission_lane(text: str) -> str:
    """Return the lane of the admission of a call, which `call_lane` gives back."""
    what = _what(text)
    name = "model" if what.startswith("model") else "tool"
    return text.removesuffix(what) + "admit" + what.removeprefix(name)


def _what(text: str) -> str:
    """Return what stands after the step: `tool2/1` of `4.tool2/1`."""
    return text.rpartition(".")[2]
