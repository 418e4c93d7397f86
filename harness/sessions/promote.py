"""Make a golden task from a production run: expectations from what happened, secrets renamed, provenance kept."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.errors import CassetteError
from harness.redaction.redactor import Redactor
from runtime.core.messages import Message, TextPart
from runtime.core.run import with_hashes
from runtime.core.stored_header import header_from
from runtime.core.trace import Trace
from runtime.errors import UsageError
from runtime.journal.recording import Interaction, Recording
from runtime.journal.records import EndBody, Record

RECORDED = "recorded"
_SHOWN_CALLS = 60
"""Calls that the task names one by one; a longer run is held by its baseline and its counts."""
_KEYED = re.compile(r"<secret:([0-9a-zA-Z_-]{1,64})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What promoting did about secrets.

    Attributes:
        renamed: Keyed pseudonyms of the segment that became `<secret#n>`.
        found: What the redactor still found, by rule.
        present: Pseudonyms in the golden cassette.
    """

    renamed: int = 0
    found: dict[str, int] = field(default_factory=dict)
    present: int = 0

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {"renamed": self.renamed, "found": self.found, "pseudonyms": self.present}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A golden task that is ready to be written.

    Attributes:
        task: The task file as plain data.
        recording: The run for its cassette.
        redaction: What was done about secrets.
        provenance: Where the run came from.
    """

    task: dict[str, Any]
    recording: Recording
    redaction: Redaction
    provenance: dict[str, Any]


def promote_run(
    recording: Recording, task: str, *, agent: str | None = None, origin: dict[str, Any] | None = None
) -> Promotion:
    """Return the golden task of a run.

    Args:
        recording: A run that was recorded to its end.
        task: Name of the task, `suite/name`.
        agent: Factory of the agent's code, `module:factory`; the recording alone decides by default.
        origin: Provenance to keep, for example the root of the segment.

    Raises:
        CassetteError: If the run was cut off or cannot be replayed.
        UsageError: If `agent` is given for a run whose input the agent's code cannot be given.
    """
    if recording.end is None:
        raise CassetteError(
            "the run was cut off; a golden task needs its end",
            where=recording.source,
            next_step="carry it to its end with `goldrun resume`, or promote another run",
        )
    if recording.header.assert_only is not None:
        raise CassetteError(
            f"the run cannot be replayed: {recording.header.assert_only}", where=recording.source
        )
    clean, redaction = _cleaned(recording)
    suite = task.partition("/")[0]
    header = msgspec.structs.replace(clean.header, suite=suite, task=task)
    ready = Recording(header, clean.interactions, clean.end, source=recording.source, root=recording.root)
    return Promotion(
        task=_task(ready, task, agent),
        recording=ready,
        redaction=redaction,
        provenance={**(origin or {}), "promoted_as": task, "redaction": redaction.document()},
    )


def _task(recording: Recording, task: str, agent: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": "golden/1",
        "task": task,
        "tags": ["promoted"],
        "agent": agent or RECORDED,
    }
    if agent is not None:
        document["input"] = _input(recording)
    document["expect"] = expectations(recording.trace())
    return document


def _input(recording: Recording) -> dict[str, Any]:
    header = recording.header
    messages = [{"role": m.role, "content": _text(m, recording.source)} for m in header.input]
    given: dict[str, Any] = {"messages": messages}
    if len(messages) == 1 and messages[0]["role"] == "user":
        given = {"prompt": messages[0]["content"]}
    return {**given, "tenant": header.tenant, "environment": header.environment}


def _text(message: Message, where: str) -> str:
    texts = [part.content for part in message.parts if isinstance(part, TextPart)]
    if message.role not in {"system", "user"} or len(texts) != len(message.parts):
        raise UsageError(
            f"the run's input holds a {message.role} message that a task file cannot say",
            where=where,
            next_step="promote it without --agent",
        )
    return "".join(texts)


def expectations(trace: Trace) -> dict[str, Any]:
    """Return rules that hold for a run: how it stopped, its calls in order, its counts, its baseline."""
    calls = [call.name for step in trace.steps for call in step.tool_calls if call.status == "ok"]
    totals = trace.totals
    found: dict[str, Any] = {"stop_reason": trace.stop_reason}
    if 0 < len(calls) <= _SHOWN_CALLS:
        found["tools"] = {"mode": "in_order", "calls": [{"tool": name} for name in calls]}
    found["counts"] = {
        "tool_calls": totals.tool_calls,
        "tool_executions": totals.tool_executions,
        "model_calls": totals.model_calls,
        "retries": totals.retries,
        "denials": totals.denials,
        "errors": totals.errors,
    }
    found["trace"] = "baseline"
    return found


class _Scrub:
    """Renames keyed pseudonyms to numbered ones and takes out what the redactor still finds."""

    def __init__(self) -> None:
        self.redactor = Redactor()
        self.names: dict[str, str] = {}
        self._taken = 0

    def reserve(self, encoded: bytes) -> None:
        """Note the numbers that are taken already."""
        for number in re.findall(rb"<secret#(\d{1,9})>", encoded):
            self._taken = max(self._taken, int(number))

    def value(self, value: Any) -> Any:
        """Return a JSON value scrubbed; the same object if nothing was to do."""
        renamed = self._renamed(value)
        return self.redactor.value(renamed)

    def _renamed(self, value: Any) -> Any:
        match value:
            case str():
                return _KEYED.sub(self._name, value) if "<secret:" in value else value
            case dict():
                clean = {self._renamed(key): self._renamed(item) for key, item in value.items()}
                return (
                    value if _same(clean.values(), value.values()) and clean.keys() == value.keys() else clean
                )
            case list() | tuple():  # a header's input is a tuple
                items = [self._renamed(item) for item in value]
                return value if _same(items, value) else items
            case _:
                return value

    def _name(self, found: re.Match[str]) -> str:
        known = self.names.get(found[1])
        if known is None:
            self._taken += 1
            known = self.names[found[1]] = f"<secret#{self._taken}>"
        return known


def _same(new: Any, old: Any) -> bool:
    return all(a is b for a, b in zip(new, old, strict=True))


def _cleaned(recording: Recording) -> tuple[Recording, Redaction]:
    """Return the recording as a golden cassette may hold it; its keys are made anew where anything changed."""
    scrub = _Scrub()
    plain_header = msgspec.to_builtins(recording.header)
    records = [r for i in recording.interactions for r in (i.intent, i.record) if r is not None]
    encoded = [msgspec.json.encode(plain_header), *map(msgspec.json.encode, records)]
    for part in encoded:
        scrub.reserve(part)
    clean_header = scrub.value(plain_header)
    changed = clean_header is not plain_header
    header = recording.header
    if changed:
        header = with_hashes(header_from(clean_header))
    made: list[Interaction] = []
    for item in recording.interactions:
        intent, record = _clean(item.intent, scrub), _clean(item.record, scrub)
        changed = changed or intent is not item.intent or record is not item.record
        made.append(Interaction(intent, record))  # type: ignore[arg-type]  # a record is never None
    end = recording.end
    if end is not None:
        plain_end = msgspec.to_builtins(end)
        clean_end = scrub.value(plain_end)
        if clean_end is not plain_end:
            changed = True
            end = msgspec.convert(clean_end, EndBody)
    if not changed:
        present = Counter(m for part in encoded for m in re.findall(rb"<secret#\d{1,9}>", part))
        return recording, Redaction(present=len(present))
    assert end is not None
    # Keys were made from the other names; a golden document leaves them out and they are computed when it is read.
    end = msgspec.structs.replace(end, trace_hash=None)
    made = [_unkeyed(item) for item in made]
    numbers = {n for item in made for n in re.findall(rb"<secret#\d{1,9}>", msgspec.json.encode(item.record))}
    redaction = Redaction(
        renamed=len(scrub.names),
        found=dict(scrub.redactor.counts),
        present=max(len(numbers), len(scrub.names)),
    )
    return Recording(header, made, end, source=recording.source, root=recording.root), redaction


def _clean(record: Record | None, scrub: _Scrub) -> Record | None:
    if record is None:
        return None
    plain = msgspec.json.decode(msgspec.json.encode(record))
    clean = scrub.value(plain)
    return record if clean is plain else msgspec.json.decode(msgspec.json.encode(clean), type=Record)


def _unkeyed(item: Interaction) -> Interaction:
    intent = None if item.intent is None else msgspec.structs.replace(item.intent, key=None)
    return Interaction(intent, msgspec.structs.replace(item.record, key=None))
