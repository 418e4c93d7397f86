"""What a run knows so far, folded from its outcomes."""

from __future__ import annotations

from runtime.control.budgets import Allowance, Spent
from runtime.control.loops import LoopGuard
from runtime.core.canonical import canonical_bytes
from runtime.core.effects import AnyOutcome, Used
from runtime.core.ids import idempotency_key
from runtime.core.messages import (
    FilePart,
    Message,
    ModelReply,
    ModelRequest,
    Part,
    ToolCallPart,
    system_message,
)
from runtime.core.stop import StopKind, StopReason
from runtime.orchestrator.setup import RunSetup

_BYTES_PER_MESSAGE = 16
"""Allowance for a message's role and separators in the bound of input tokens."""
_IMAGE_TOKENS = 50_000
"""Bound of one image; the dearest known, gpt-4o-mini's high detail, counts 36,835."""
_FILE_TOKENS = 1_000_000
"""Bound of any other file: as much as the largest context windows take."""
_LEAST_TOKENS_PER_KIB = 64
"""Fewer tokens reported for a request than 1 for 16 bytes are not believed as the bound of the next one."""


class Progress:
    """The state of one flow; only the flow changes it.

    Attributes:
        has_lost: Whether an attempt of the decision under way was paid for and gave no reply.
    """

    __slots__ = (
        "_bounded_messages",
        "_fresh_bound",
        "_known_ids",
        "_metered",
        "_occurrences",
        "_refusals",
        "_schemas",
        "_settled_messages",
        "_settled_tokens",
        "_untold_output",
        "has_lost",
        "loops",
        "messages",
        "model_retries",
        "output",
        "setup",
        "spent",
        "step",
        "tool_retries",
    )

    def __init__(self, setup: RunSetup) -> None:
        header = setup.header
        self.setup: RunSetup = setup
        self.step: int = 0
        self.spent: Spent = Spent()
        self.model_retries: int = 0
        self.tool_retries: int = 0
        self.has_lost: bool = False
        self.loops: LoopGuard = LoopGuard(header.policy.loop)
        self.output: str | None = None
        opening = () if header.instructions is None else (system_message(header.instructions),)
        self.messages: list[Message] = [*opening, *header.input]
        self._schemas = header.tool_schemas
        self._known_ids: set[str] = set()
        self._refusals: dict[StopKind, int] = {}
        self._occurrences: dict[tuple[str, str], int] = {}
        self._metered = header.budget.max_usd_nanos is not None or header.budget.max_tokens is not None
        self._metered = self._metered or header.metered
        self._settled_tokens = 0
        self._settled_messages = 0
        self._untold_output = 0
        self._bounded_messages = 0
        self._fresh_bound = 0

    def see(self, outcome: AnyOutcome) -> None:
        """Move the run's time on to an outcome's."""
        if outcome.at is not None and outcome.at > self.spent.at:
            self.spent.at = outcome.at

    def request(self, model: str) -> ModelRequest:
        """Return the request of the next model call."""
        return ModelRequest(
            model=model,
            messages=tuple(self.messages),
            tools=self._schemas,
            parameters=self.setup.header.parameters,
        )

    def input_bound(self) -> int:
        """Return an upper bound of the next request's input tokens.

        What the last reply reported covers the messages up to it; later ones are bounded by their bytes, since
        no token is shorter than a byte. 0 where no limit needs it.
        """
        if not self._metered:
            return 0
        # Messages are only ever appended, so each is measured once.
        self._fresh_bound += sum([_bound_of(m) for m in self.messages[self._bounded_messages :]])
        self._bounded_messages = len(self.messages)
        bound = self._settled_tokens + self._untold_output + self._fresh_bound
        if self._settled_messages == 0:
            bound += len(canonical_bytes(self._schemas))
        return bound

    def settle(self, reply: ModelReply, allowance: Allowance) -> None:
        """Charge a reply; what the provider does not tell is charged as reserved."""
        usage = reply.usage
        if usage is None or usage.output_tokens is None:
            # What a reply took is not known, and it may be billed again as input.
            self._untold_output += allowance.max_output_tokens or 0
        known = None
        if usage is not None and usage.input_tokens is not None and usage.output_tokens is not None:
            known = usage.input_tokens + usage.output_tokens
        self.spent.tokens += self._worst_tokens(allowance) if known is None else known
        nanos = allowance.reserved_nanos or 0
        self.spent.nanos += nanos if reply.cost_nanousd is None else reply.cost_nanousd

    def charge_lost(self, allowance: Allowance) -> None:
        """Charge a call whose reply was lost as reserved: the provider may have done all the work."""
        self.has_lost = True
        self.spent.tokens += self._worst_tokens(allowance)
        self.spent.nanos += allowance.reserved_nanos or 0

    def _worst_tokens(self, allowance: Allowance) -> int:
        return self.input_bound() + (allowance.max_output_tokens or 0)

    def accept(self, reply: ModelReply) -> tuple[ToolCallPart, ...]:
        """Append a reply to the conversation and return its calls, each with an id of its own."""
        calls = reply.tool_calls
        parts = reply.parts
        request_bound = self.input_bound()
        if calls and not self._ids_are_new(calls):
            parts, calls = self._with_new_ids(parts)
        self._known_ids.update(c.id for c in calls)
        self.messages.append(Message(role="assistant", parts=parts))
        self.spent.steps += 1
        if self._metered and reply.usage is not None and reply.usage.input_tokens is not None:
            self._rebase(reply.usage.input_tokens, reply.usage.output_tokens or 0, request_bound)
        return calls

    def _rebase(self, input_tokens: int, output_tokens: int, request_bound: int) -> None:
        """Let what a reply reports stand for the messages up to it, if it can be true of what was sent.

        The bound of the request counts bytes for messages without a report, so a report far below it is of a
        provider that counts nothing, and would let the next call pass a limit.
        """
        if input_tokens * 1024 < (request_bound - self._settled_tokens) * _LEAST_TOKENS_PER_KIB:
            return
        self._settled_tokens = input_tokens + output_tokens
        self._untold_output = 0
        self._settled_messages = self._bounded_messages = len(self.messages)
        self._fresh_bound = 0

    def charge(self, used: Used | None) -> None:
        """Charge what child runs of a call used."""
        if used is not None:
            self.spent.steps += used.steps
            self.spent.tool_calls += used.tool_calls
            self.spent.tokens += used.tokens
            self.spent.nanos += used.nanos

    @property
    def used(self) -> Used:
        """What counts in a parent's budget."""
        spent = self.spent
        return Used(steps=spent.steps, tool_calls=spent.tool_calls, tokens=spent.tokens, nanos=spent.nanos)

    def refuse(self, kind: StopKind, subject: str | None, *, stop: bool) -> StopReason | None:
        """Count a refusal; return the stop reason if policy stops on it or its cap is passed."""
        count = self._refusals[kind] = self._refusals.get(kind, 0) + 1
        if stop or count > self.setup.header.policy.max_refusals:
            return StopReason(kind, subject)
        return None

    def next_key(self, tool: str, args_hash: str) -> str:
        """Return the idempotency key of the next such call of the run."""
        header = self.setup.header
        count = self._occurrences[tool, args_hash] = self._occurrences.get((tool, args_hash), 0) + 1
        return idempotency_key(
            tenant=header.tenant,
            environment=header.environment,
            root_request_id=self.setup.root_request_id or header.request_id,
            tool=tool,
            args_hash=args_hash,
            occurrence=count,
        )

    def _ids_are_new(self, calls: tuple[ToolCallPart, ...]) -> bool:
        ids = [c.id for c in calls]
        return all(ids) and len(set(ids)) == len(ids) and self._known_ids.isdisjoint(ids)

    def _with_new_ids(self, parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], tuple[ToolCallPart, ...]]:
        renamed: list[Part] = []
        calls: list[ToolCallPart] = []
        taken = set(self._known_ids)
        for part in parts:
            if isinstance(part, ToolCallPart):
                number = len(taken) + 1
                call_id = part.id
                while not call_id or call_id in taken:
                    call_id, number = f"call#{number}", number + 1
                taken.add(call_id)
                part = ToolCallPart(id=call_id, name=part.name, arguments=part.arguments)
                calls.append(part)
            renamed.append(part)
        return tuple(renamed), tuple(calls)


def _bound_of(message: Message) -> int:
    """Return an upper bound of a message's tokens: no token is shorter than a byte; files are not in the text."""
    bound = len(canonical_bytes(message)) + _BYTES_PER_MESSAGE
    for part in message.parts:
        if isinstance(part, FilePart):
            bound += _IMAGE_TOKENS if part.modality == "image" else _FILE_TOKENS
    return bound
