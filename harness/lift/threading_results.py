"""Pair the tool results of a request with the calls of the reply before it."""

from __future__ import annotations

from harness.lift.threading_identity import call_identity
from runtime.core.messages import Message, ToolCallPart, ToolResponsePart


def results_of(calls: tuple[ToolCallPart, ...], echo: Message, following: list[Message]) -> dict[int, str]:
    """Return the results that answer a reply's calls, by position of the call.

    A client may give calls new ids when it echoes them, so results are looked up by the ids in the echo. Results that
    no id finds are paired in order. Only tool messages directly after the echo are considered.
    """
    answers: list[ToolResponsePart] = []
    for message in following:
        if message.role != "tool":
            break
        answers += [p for p in message.parts if isinstance(p, ToolResponsePart)]
    echoed = [p for p in echo.parts if isinstance(p, ToolCallPart)]
    positions = _positions(calls, echoed)
    results: dict[int, str] = {}
    unpaired: list[str] = []
    for answer in answers:
        position = next(
            (p for p, c in zip(positions, echoed, strict=True) if c.id == answer.id and p not in results),
            None,
        )
        if position is None:
            unpaired.append(answer.response)
        else:
            results[position] = answer.response
    free = [position for position in positions if position not in results]
    results.update(zip(free, unpaired, strict=False))
    return results


def _positions(calls: tuple[ToolCallPart, ...], echoed: list[ToolCallPart]) -> list[int]:
    """Return for each echoed call the position of the original: by identity and id, by identity, or the first free."""
    positions: list[int] = []
    for call in echoed:
        free = [i for i in range(len(calls)) if i not in positions]
        same = [i for i in free if call_identity(calls[i]) == call_identity(call)]
        by_id = [i for i in same if calls[i].id == call.id]
        positions.append((by_id or same or free)[0] if free else len(calls))
    return positions
