"""AgentDojo run logs: messages, tool results with their errors, refusals by a recorded guard.

Results pair with calls by position in the turn. CaMeL's interpreter makes calls that no reply asks for; their
results carry the call themselves.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from harness.importers.agentdojo_runs import ForeignRun, message_text, recognise
from harness.importers.runlog import ForeignRunLog, Said
from runtime.core.effects import CallStatus, ToolResult
from runtime.core.messages import Message, Part, TextPart, ToolCallPart, tool_message

FORMAT = "agentdojo"
_UNKNOWN = re.compile(r"Invalid tool .{0,200} provided\.")
_INVALID = re.compile(r"ValidationError: \d+ validation errors? for Input schema")
_NAMED = re.compile(r"function calling of ([\w.-]{1,128}) has been refused|'name\\*': \\*'([\w.-]{1,128})")
_LABELS = ("error", "benchmark_version", "agentdojo_package_version", "evaluation_timestamp")


def read(document: Any, file: str) -> list[ForeignRunLog | None] | None:
    """Return the run of a document; `None` if it is no run of this format."""
    run = recognise(document, file=file)
    return None if run is None else [run_log(run)]


def run_log(run: ForeignRun) -> ForeignRunLog:
    """Return what a run says, in the importers' common form."""
    place, fields = run.place, run.fields
    return ForeignRunLog(
        source=run.source,
        content=fields,
        messages=tuple(map(_said, run.messages)),
        model=place.model,
        tenant=FORMAT,
        agent=place.pipeline,
        suite=place.suite,
        task=place.task,
        labels={
            "passed": fields.get("utility"),
            "security": fields.get("security"),
            "pipeline": place.pipeline,
            "user_task": place.user_task,
            "attack": place.attack,
            "injection": place.injection,
            "guard": place.guard,
            **{name: fields[name] for name in _LABELS if fields.get(name) is not None},
        },
        duration_s=_number(fields.get("duration")),
        tokens=_count(fields.get("total_tokens")),
        unanswered_end="max_steps",
        group=f"{place.pipeline}-{place.suite}",
    )


def _said(message: dict[str, Any]) -> Said:
    text = message_text(message.get("content"))
    match message["role"]:
        case "assistant":
            return Said(message=_reply(message, text))
        case "tool":
            return _result(message, text)
        case role:
            author: Literal["system", "user"] = "system" if role == "system" else "user"
            is_denial = author == "user" and _is_refusal(text)
            return Said(
                message=Message(role=author, parts=(TextPart(text),)),
                is_denial=is_denial,
                denied_tool=_denied_tool(text) if is_denial else None,
            )


def _reply(message: dict[str, Any], text: str) -> Message:
    parts: list[Part] = [TextPart(text)] if text else []
    parts += [
        ToolCallPart(id=_id(call.get("id")), name=call["function"], arguments=call.get("args"))
        for call in message.get("tool_calls") or ()
    ]
    return Message(role="assistant", parts=tuple(parts))


def _result(message: dict[str, Any], text: str) -> Said:
    error = message.get("error")
    status = _status(text, error)
    shown = error if isinstance(error, str) and error else text
    call_id = _id(message.get("tool_call_id"))
    return Said(
        message=tool_message(call_id, text),
        result=ToolResult(content=shown, status=status, error=None if status == "ok" else shown),
        call=_carried(message.get("tool_call")),
    )


def _carried(call: Any) -> tuple[str, Any] | None:
    """Return name and arguments of the call that a result carries."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), str):
        return None
    return call["function"], call.get("args")


def _id(recorded: Any) -> str:
    return recorded if isinstance(recorded, str) else ""


def _status(text: str, error: Any) -> CallStatus:
    if not isinstance(error, str) or not error:
        return "denied" if _is_refusal(text) else "ok"
    if _UNKNOWN.search(error):
        return "unknown_tool"
    if "is not allowed" in error or _is_refusal(error):
        return "denied"
    return "invalid_arguments" if _INVALID.search(error) else "error"


def _is_refusal(text: str) -> bool:
    return "[CALL ERROR]" in text and "has been refused" in text


def _denied_tool(text: str) -> str | None:
    named = _NAMED.search(text)
    return None if named is None else named[1] or named[2]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
