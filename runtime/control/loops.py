"""The loop guard: equal calls in a row, cycles of 2 to 6 calls, the same error again and again."""

from __future__ import annotations

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
        self._error: tuple[str, str] | None = None
        self._errors = 0

    def asks(self, tool: str, args_hash: str) -> bool:
        """Take note of a call that is asked for; return whether it passes a limit."""
        limits = self._limits
        if limits is None:
            return False
        call = f"{tool}\0{args_hash}"
        self._streak = self._streak + 1 if self._calls and self._calls[-1] == call else 1
        self._calls.append(call)
        if len(self._calls) > LONGEST_CYCLE * (limits.cycle + 1):
            del self._calls[0]
        return self._streak > limits.same_call or self._cycles(limits.cycle)

    def fails(self, tool: str, error: str | None) -> bool:
        """Take note of a call's error (`None`: it had none); return whether the same error passes its limit."""
        if self._limits is None:
            return False
        if error is None:
            self._error, self._errors = None, 0
            return False
        same = self._error == (tool, error)
        self._error, self._errors = (tool, error), self._errors + 1 if same else 1
        return self._errors > self._limits.same_error

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
