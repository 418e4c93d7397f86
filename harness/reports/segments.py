"""Divide the prompt of each call into segments, and estimate the tokens and the cost of each.

A provider bills the tokens of a prompt as one number. The size of each part of the prompt in bytes is known, so the
billed number is divided in proportion to the bytes of each part's canonical form, by largest remainder. The parts
always add up to the billed number, and each of them is an estimate.

Segments: `instructions` (system messages), `tool schemas`, `result:<tool>` (results of a tool, in every call that
repeats them) and `conversation` (all other messages). Costs have four more: `output`, `cache` (cached tokens, with the
difference to the price of fresh ones, so mostly negative), `tools` (priced tool calls) and `unsplit` (calls whose
rates are unknown). Together they add up to the cost of the run.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.core.canonical import canonical_bytes
from runtime.core.effects import CallModel
from runtime.core.messages import Message, ModelRequest, TextPart, ToolCallPart, ToolResponsePart
from runtime.core.money import Rate
from runtime.core.trace import ModelStep, Trace
from runtime.journal.recording import Recording

INSTRUCTIONS, SCHEMAS, CONVERSATION = "instructions", "tool schemas", "conversation"
OUTPUT, CACHE, TOOLS, UNSPLIT = "output", "cache", "tools", "unsplit"
RESULT = "result:"
"""Prefix of the segments that hold a tool's results."""

_MILLION = 1_000_000

Bytes = dict[str, int]


def prompt_bytes(recording: Recording) -> dict[str, Bytes]:
    """Return the bytes of each segment of each model call, by the call's lane."""
    sizes: dict[int, int] = {}
    kept: list[object] = []
    found: dict[str, Bytes] = {}
    for effect, _ in recording.pairs():
        if isinstance(effect, CallModel):
            kept.append(
                effect
            )  # `sizes` identifies messages by `id()`, so they must live as long as `sizes`.
            found[effect.lane] = _request_bytes(effect.request, sizes)
    return found


def first_user_text(recording: Recording) -> str | None:
    """Return the text of the first user message; `None` if none was recorded."""
    for message in recording.header.input:
        if message.role == "user":
            return _text(message)
    for effect, _ in recording.pairs():
        if isinstance(effect, CallModel):
            return next((_text(m) for m in effect.request.messages if m.role == "user"), None)
    return None


def scaled(parts: Mapping[str, int], total: int | None) -> dict[str, int] | None:
    """Return `total` divided in proportion to `parts`, by largest remainder; `None` if it is unknown."""
    whole = sum(parts.values())
    if total is None or whole == 0:
        return None
    shares = {name: divmod(size * total, whole) for name, size in parts.items()}
    rest = total - sum(share for share, _ in shares.values())
    first = sorted(shares, key=lambda name: (-shares[name][1], name))[:rest]
    return {name: share + (name in first) for name, (share, _) in shares.items()}


def run_segments(
    trace: Trace, calls: Mapping[str, dict[str, int]], rates: Mapping[str, Rate]
) -> list[tuple[str, int | None, int | None]]:
    """Return name, billed input tokens and cost of each segment of a run; empty if prompts are unknown.

    Args:
        trace: The run.
        calls: Billed input tokens of each segment, by the model call's lane.
        rates: The rate of each model.
    """
    if not calls:
        return []
    tokens: dict[str, int] = {}
    costs: dict[str, int] = {}
    for call in trace.model_calls:
        parts = calls.get(call.lane) or {}
        for name, count in parts.items():
            tokens[name] = tokens.get(name, 0) + count
        if parts and call.cache_read_tokens:
            tokens[CACHE] = tokens.get(CACHE, 0) + call.cache_read_tokens
        if call.cost_nanousd is not None:
            rate = rates.get(call.response_model or "") or rates.get(call.request_model)
            for name, cost in _costs(call, parts, rate).items():
                costs[name] = costs.get(name, 0) + cost
    paid = [call.cost_nanousd for call in trace.tool_calls if call.cost_nanousd]
    if paid:
        costs[TOOLS] = sum(paid)
    return [(name, tokens.get(name), costs.get(name)) for name in sorted({*tokens, *costs})]


def _costs(call: ModelStep, parts: Mapping[str, int], rate: Rate | None) -> dict[str, int]:
    """Return a call's cost by segment: input at the full rate, and `cache` for the effect of caching on it."""
    cost = call.cost_nanousd or 0
    if rate is None or not parts or call.output_tokens is None or call.input_tokens is None:
        return {UNSPLIT: cost}
    full = scaled(parts, call.input_tokens * rate.input // _MILLION) or {}
    output = min(call.output_tokens * rate.output // _MILLION, cost)
    left = cost - output - sum(full.values())
    cached = (call.cache_read_tokens or 0) + (call.cache_write_tokens or 0)
    # Without cached tokens, the rest is rounding, a price per request, or a tier.
    return {**full, OUTPUT: output, (CACHE if cached else OUTPUT): left + (0 if cached else output)}


def _request_bytes(request: ModelRequest, sizes: dict[int, int]) -> Bytes:
    found: Bytes = {}
    if request.tools:
        found[SCHEMAS] = _size(request.tools, sizes)
    names: dict[str, str] = {}
    for message in request.messages:
        names.update((p.id, p.name) for p in message.parts if isinstance(p, ToolCallPart))
        segment = _segment(message, names)
        found[segment] = found.get(segment, 0) + _size(message, sizes)
    return found


def _segment(message: Message, names: Mapping[str, str]) -> str:
    if message.role == "system":
        return INSTRUCTIONS
    answered = next((p.id for p in message.parts if isinstance(p, ToolResponsePart)), None)
    if answered is not None:
        return RESULT + names.get(answered, "unknown")
    return CONVERSATION


def _size(value: object, sizes: dict[int, int]) -> int:
    size = sizes.get(id(value))
    if size is None:
        size = sizes[id(value)] = len(canonical_bytes(value))
    return size


def _text(message: Message) -> str:
    return "".join(part.content for part in message.parts if isinstance(part, TextPart))
