"""Which result answers which call of a reply, and what else follows before the next reply."""

from __future__ import annotations

from dataclasses import dataclass

from harness.importers.runlog import Said
from runtime.core.messages import ToolCallPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The messages between two replies, sorted.

    Attributes:
        calls: How many calls the reply made.
        results: Results of the reply's calls, by position of the call.
        others: All other messages, in order; results among them belong to no call of the reply.
        in_order: Whether the results stand directly behind the reply, in the calls' order.
        answers: How many results there are, those of no call included.
    """

    calls: int
    results: dict[int, Said]
    others: tuple[Said, ...]
    in_order: bool
    answers: int

    def doubt(self, step: int, *, last: bool) -> str | None:
        """Return why the flow cannot rebuild what follows the step's reply; `None` if it can."""
        stray = any(said.message.role == "tool" and said.call is None for said in self.others)
        if stray or (len(self.results) < self.calls and not last):
            return f"step {step} has {self.answers} results of {self.calls} calls"
        if not self.in_order:
            return f"step {step} has a message between its results, or has them in another order"
        return None


def pair(reply: Said, after: tuple[Said, ...]) -> Pairing:
    """Return which of the messages after a reply answer its calls: by id, else by position."""
    calls = [part for part in reply.message.parts if isinstance(part, ToolCallPart)]
    tools = [place for place, said in enumerate(after) if said.message.role == "tool"]
    result_of: dict[int, int] = {}
    if any(after[place].answers is not None and after[place].call is None for place in tools):
        free = list(tools)
        for index, call in enumerate(calls):
            found = next((place for place in free if call.id and after[place].answers == call.id), None)
            if found is not None:
                result_of[index] = found
                free.remove(found)
    else:
        result_of = dict(zip(range(len(calls)), tools, strict=False))
    taken = set(result_of.values())
    return Pairing(
        calls=len(calls),
        results={index: after[place] for index, place in result_of.items()},
        others=tuple(said for place, said in enumerate(after) if place not in taken),
        in_order=list(result_of.items()) == [(index, index) for index in range(len(result_of))],
        answers=len(tools),
    )
