"""The loop guard: equal calls in a row, cycles of 2 to 6 calls, the same error or the same result again and again."""

from __future__ import annotations

import re
from typing import Any

from runtime.core.canonical import fingerprint
from runtime.core.policy import LoopLimits

LONGEST_CYCLE = 6


class LoopGuard:
    """Watches the calls of one run in declared order.

    Identity of a call is its tool and the fingerprint of its arguments; results are not part of it, because
    a result that holds a time or an id would hide every loop. Where the limits say so, blanks in arguments and
    results are levelled and a result is compared without what its call said, so that neither an added blank nor a
    counter ("v1", "v2") hides one.
    """

    def __init__(self, limits: LoopLimits | None) -> None:
        self._limits = limits
        self._calls: list[str] = []
        self._streak = 0
        self._errors: dict[str, tuple[str, int]] = {}
        self._results: dict[str, tuple[int, int]] = {}
        self._turn: set[tuple[str, int]] = set()

    def asks(self, tool: str, args_hash: str, arguments: Any = None) -> bool:
        """Count a requested call; return whether it passes a limit."""
        limits = self._limits
        if limits is None:
            return False
        if limits.levelled and _has_blanks(arguments):
            args_hash = fingerprint(_levelled(arguments))
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

    def next_turn(self) -> None:
        """Begin the results of another turn."""
        self._turn.clear()

    def gives(
        self, tool: str, result: str, *, write: bool, arguments: Any = None, polls: bool = False
    ) -> bool:
        """Count a call's result; return whether the tool gave it too often in a row.

        A write is progress: what was read before may be read again. Equal results of one turn count once where
        results are levelled, because the model saw none of them when it asked for the others.

        Args:
            tool: Its name.
            result: What the model is shown.
            write: Whether the call has effects outside.
            arguments: What the call itself said.
            polls: Whether the tool is one that may say the same many times, because it waits for something.
        """
        if self._limits is None or self._limits.no_progress is None:
            return False
        if write:
            self._results.clear()
            return False
        if polls:
            return False
        levelled = self._limits.levelled
        found = hash(_without_own(result, arguments) if levelled else result)
        if levelled and (tool, found) in self._turn:
            return False
        self._turn.add((tool, found))
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


def _without_own(result: str, arguments: Any) -> str:
    """Return a result without blanks and without what the call's own arguments say, numbers too.

    Only whole words are left out: a call for `1` must not make 31 and 32 of one result the same.
    """
    said: set[str] = {text for leaf in _leaves(arguments) if (text := str(leaf)) in result}
    own = sorted(said, key=len, reverse=True)
    if own:
        words = "|".join(re.escape(text) for text in own)
        result = re.sub(rf"(?<!\w)(?:{words})(?!\w)", "?", result)
    return "".join(result.split())


def _leaves(value: Any) -> list[str | int | float]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    is_leaf = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return [value] if is_leaf else []


def _has_blanks(arguments: Any) -> bool:
    return any(isinstance(leaf, str) and leaf.split() != [leaf] for leaf in _leaves(arguments))


def _levelled(value: Any) -> Any:
    """Return arguments in which each stretch of blanks is one, and texts neither begin nor end with one."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return {name: _levelled(item) for name, item in value.items()}
    return [_levelled(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []
