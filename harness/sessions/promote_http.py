"""Make a golden task from an HTTP run: the task runs the agent's own function over the recorded traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import CassetteError
from harness.lift.decoding import decode_exchange
from harness.lift.exchanges import own_exchanges
from harness.lift.lift import runs_of
from harness.lift.threading import LiftedConversation, thread
from harness.sessions.promote import expectations
from harness.wire.http_recording import HttpFile, RecordingHead, StoredExchange, read_http
from runtime.core.messages import Message, TextPart
from runtime.core.trace import Trace
from runtime.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPromotion:
    """A golden task of an HTTP run that is ready to be written.

    Attributes:
        task: The task file as plain data.
        head: Header of its cassette.
        exchanges: What its cassette holds.
        provenance: Where the run came from.
    """

    task: dict[str, Any]
    head: RecordingHead
    exchanges: tuple[StoredExchange, ...]
    provenance: dict[str, Any]


def promote_http(path: Path, request_id: str | None, task: str, *, agent: str | None) -> HttpPromotion:
    """Return the golden task of a run of an HTTP recording.

    Args:
        path: The recording.
        request_id: Which of its runs; may be left out where there is one.
        task: Name of the task, `suite/name`.
        agent: The user's function, `module:function`; it is called with the run's prompt.

    Raises:
        CassetteError: If the recording was cut off, holds no such run, or lacks a body.
        UsageError: If no function is named, the recording holds several runs, secrets were kept in it, or its
            prompt cannot be given to a function.
    """
    file = read_http(path)
    _check_agent(file, agent)
    _check_whole(file)
    conversation, trace = _run(file, request_id)
    numbers = {attempt.exchange.idx for turn in conversation.turns for attempt in turn.attempts}
    others = {idx for each in _conversations(file) for idx in each} - numbers
    chosen = tuple(exchange for exchange in file.exchanges if exchange.number not in others)
    head = msgspec.structs.replace(
        file.head,
        request_id=f"req_golden_{task.replace('/', '_')}",
        task=task,
    )
    document = {
        "schema": "golden/1",
        "task": task,
        "tags": ["promoted"],
        "agent": {"http": agent},
        "input": _input(conversation, head, str(path)),
        "expect": expectations(trace),
    }
    origin = {"promoted_from": path.name, "promoted_run": trace.request_id, "promoted_as": task}
    return HttpPromotion(task=document, head=head, exchanges=chosen, provenance=origin)


def _check_agent(file: HttpFile, agent: str | None) -> None:
    if agent is None:
        raise UsageError(
            "a task of an HTTP run calls your agent's own function, and none is named",
            where=str(file.path),
            next_step="name it with --agent module:function; it is called with the prompt",
        )


def _check_whole(file: HttpFile) -> None:
    where = str(file.path)
    if not file.ended:
        raise CassetteError(
            "the recording was cut off; a golden task needs its end",
            where=where,
            next_step="record the agent again, or promote another run",
        )
    if file.head.redaction == "none":
        raise UsageError(
            "the recording was made without redaction, and golden tasks are shared",
            where=where,
            next_step="record it again without --no-redact",
        )
    for exchange in file.exchanges:
        answer = exchange.answer
        if exchange.request.dropped or answer is None or answer.dropped:
            raise CassetteError(
                f"exchange {exchange.number} was not kept in whole, so it cannot be replayed",
                where=where,
                next_step="see why with `goldrun verify`",
            )


def _run(file: HttpFile, request_id: str | None) -> tuple[LiftedConversation, Trace]:
    recording = own_exchanges(file)
    exchanges = tuple(decode_exchange(exchange) for exchange in recording.exchanges)
    runs = list(runs_of(recording, exchanges, name=file.path.name))
    found = [
        (conversation, run)
        for conversation, run in zip(thread(exchanges), runs, strict=True)
        if request_id in {None, run.header.request_id, run.header.run_id}
    ]
    names = ", ".join(run.header.request_id for run in runs[:5])
    if not found:
        what = (
            f"no run {request_id!r} in this recording"
            if request_id
            else "it holds no conversation with a model"
        )
        raise CassetteError(what, where=str(file.path), next_step=f"its runs are {names}" if names else "")
    if len(found) > 1:
        raise UsageError(
            f"the recording holds {len(found)} runs", where=str(file.path), next_step=f"name one of {names}"
        )
    conversation, run = found[0]
    return conversation, run.trace()


def _conversations(file: HttpFile) -> list[set[int]]:
    recording = own_exchanges(file)
    conversations = thread(tuple(decode_exchange(exchange) for exchange in recording.exchanges))
    return [{a.exchange.idx for turn in each.turns for a in turn.attempts} for each in conversations]


def _input(conversation: LiftedConversation, head: RecordingHead, where: str) -> dict[str, Any]:
    messages = [m for m in conversation.turns[0].attempts[0].request.messages if m.role != "system"]
    if len(messages) != 1 or messages[0].role != "user":
        raise UsageError(
            f"the run begins with {len(messages)} messages besides the system's, not with one prompt",
            where=where,
            next_step="write the task by hand: `agent: {http: module:function}` and the input it needs",
        )
    known = head.known()
    return {"prompt": _text(messages[0], where), "tenant": known.tenant, "environment": known.environment}


def _text(message: Message, where: str) -> str:
    texts = [part.content for part in message.parts if isinstance(part, TextPart)]
    if len(texts) != len(message.parts):
        raise UsageError(
            "the prompt holds more than text",
            where=where,
            next_step="write the task by hand, with a short prompt",
        )
    return "".join(texts)
