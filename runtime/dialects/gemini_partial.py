"""Calls whose arguments Gemini streams piece by piece (`streamFunctionCallArguments`).

The first part names the function and has `willContinue`. The next parts have no name and set values at JSON paths
(`$.city`, `$.days[0].hour`), and a text may come in several pieces. A part without `willContinue` ends the call.
Format: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling.
"""

from __future__ import annotations

import re
from typing import Any

from runtime.dialects.fields import entries, field, string

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\['([^']*)'\]")
_VALUES = ("stringValue", "numberValue", "boolValue", "string_value", "number_value", "bool_value")
_PARTIAL = ("partialArgs", "partial_args")


def continues(call: dict[str, Any]) -> bool:
    """Return whether more of a call's arguments will come."""
    return field(call, "willContinue", "will_continue") is True


def grow(arguments: dict[str, Any], call: dict[str, Any]) -> None:
    """Add the values of a part to a call's arguments; a path that does not fit them is ignored."""
    for piece in entries(field(call, *_PARTIAL)):
        value = field(piece, *_VALUES)
        steps = [
            int(index) if index else name or quoted for name, index, quoted in _STEP.findall(_path(piece))
        ]
        if steps and (value is not None or "nullValue" in piece):
            _set(arguments, steps, value)


def _path(piece: dict[str, Any]) -> str:
    return string(field(piece, "jsonPath", "json_path"))


def _set(arguments: dict[str, Any], steps: list[str | int], value: Any) -> None:
    place: Any = arguments
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            if not isinstance(place, list) or step > len(place):
                return
            if step == len(place):
                place.append(None)
        elif not isinstance(place, dict):
            return
        known = place.get(step) if isinstance(place, dict) else place[int(step)]
        if following is None:
            if isinstance(known, str) and isinstance(value, str):
                value = known + value
            place[step] = value  # pyright: ignore[reportCallIssue, reportArgumentType]  # the step fits, see above
            return
        if not isinstance(known, (dict, list)):
            known = [] if isinstance(following, int) else {}
            place[step] = known  # pyright: ignore[reportCallIssue, reportArgumentType]  # the step fits, see above
        place = known
