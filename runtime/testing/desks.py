"""Approval desks for tests: one grants, one denies, and one never answers."""

from __future__ import annotations

import asyncio

from runtime.core.effects import ApprovalAnswer, AskApproval


class GrantAll:
    """Grants each approval; the recording names a rule as the decider.

    Attributes:
        calls: The calls that were granted, in order.
    """

    def __init__(self, *, reason: str = "granted by a desk for tests") -> None:
        self.calls: list[AskApproval] = []
        self._reason = reason

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        """Grant the call."""
        self.calls.append(call)
        return ApprovalAnswer(decision="granted", by="rule", reason=self._reason)


class DenyAll:
    """Denies each approval.

    Attributes:
        calls: The calls that were denied, in order.
    """

    def __init__(self, *, reason: str = "denied by a desk for tests") -> None:
        self.calls: list[AskApproval] = []
        self._reason = reason

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        """Deny the call."""
        self.calls.append(call)
        return ApprovalAnswer(decision="denied", by="rule", reason=self._reason)


class SilentDesk:
    """Never answers, like a desk that nobody watches, so the approval times out.

    Attributes:
        calls: The waiting calls, in order.
    """

    def __init__(self) -> None:
        self.calls: list[AskApproval] = []

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        """Wait until the caller cancels the wait."""
        self.calls.append(call)
        return await asyncio.Future()
