"""The loop guard: equal calls in a row, cycles of 2 to 6 calls, the same error or the same result again and again."""

from __future__ import annotations

import re
from typing import Any

from runtime.core.policy import LoopLimits

LONGEST_CYCLE = 6


class LoopGuard:
    """Watches the calls of one run in declared order.

    Identity of a call is its tool and the fingerprint of its arguments; results are not part of it, because
    a result that holds a time or an id would hide every loop.
    """

    def __init__(self, limits: LoopLimits | None) -> None:
        self._limits = limits
        self._calls: list[str] = []
        self._streak = 0
        self._errors: dict[str, tuple[str, int]] = {}
        self._results: dict[str, tuple[int, int]] = {}

    def asks(self, tool: str, args_hash: str) -> bool:
        """Count a requested call; return whether it passes a limit."""
        limits = self._limits
        if limits is None:
            return False
        call = f"{tool}\0{args_hash}"
        self._streak = self._streak + 1 if self._calls and self._calls[-1] == call else 1
        self._calls.append(call)
        if len(self._calls) > LONGEST_CYCLE * (limits.cycle + 1):
            del self._calls[0]
        return self._streak > limits.same_call or self._cycles(limits.cycle)

    def fails(self, tool: str, error: str | None, arguments: Any = None) -> bool:
        """Count a call's error (`None`: it had none); return whether the same error passes its limit.

        Other tools do not matter: one that works does not make the error another one.
        """
        if self._limits is None:
            return False
        if error is None:
            self._errors.pop(tool, None)
            return False
        shape = shape_of(error, arguments)
        before, count = self._errors.get(tool, ("", 0))
        count = count + 1 if shape == before else 1
        self._errors[tool] = (shape, count)
        return count > self._limits.same_error

    def gives(self, tool: str, result: str, *, write: bool) -> bool:
        """Count a call's result; return whether the tool gave it too often in a row.

        A write is progress: what was read before may be read again.
        """
        if self._limits is None or self._limits.no_progress is None:
            return False
        if write:
            self._results.clear()
            return False
        found = hash(result)
        before, count = self._results.get(tool, (0, 0))
        count = count + 1 if count and found == before else 1
        self._results[tool] = (found, count)
        return count > self._limits.no_progress

    def _cycles(self, repeats: int) -> bool:
        """Return whether a cycle of unequal calls went round too often; equal calls have a limit of their own."""
        calls = self._calls
        for period in range(2, LONGEST_CYCLE + 1):
            length = period * repeats + 1
            if len(calls) < length:
                return False
            if self._streak < period and calls[period - length :] == calls[-length:-period]:
                return True
        return False


def shape_of(error: str, arguments: Any) -> str:
    """Return an error without numbers and without what the call's own arguments say."""
    for text in sorted(_texts(arguments), key=len, reverse=True):
        error = error.replace(text, "?")
    return re.sub(r"\d+", "#", error)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []
