"""Small traces for the tests of the diff, made of the structs of `runtime.core`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from runtime.core.canonical import fingerprint
from runtime.core.effects import CallStatus
from runtime.core.run import Header
from runtime.core.totals import count_totals
from runtime.core.trace import ModelStep, Step, ToolStep, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One decision of a model."""

    text: str = ""
    tools: tuple[str, ...] = ()
    model: str = "gpt-4o"
    tokens: int | None = 100
    nanousd: int | None = 1_000
    seconds: float | None = 0.5
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool call."""

    name: str = "kb.search"
    arguments: Any = field(default_factory=dict)
    result: str | None = "found"
    status: CallStatus = "ok"
    write: bool = False
    seconds: float | None = 0.1
    attempts: int = 1


Item = Model | Tool


def make_trace(
    items: Sequence[Item],
    *,
    hashed: bool = True,
    denials: int = 0,
    stop_reason: str = "finish",
    **fields: Any,
) -> Trace:
    """Return the trace of some calls in order; each model call begins a step."""
    groups: list[tuple[ModelStep | None, list[ToolStep]]] = []
    for number, item in enumerate(items):
        if isinstance(item, Model):
            groups.append((_model(item, number, hashed), []))
        else:
            if not groups:
                groups.append((None, []))
            groups[-1][1].append(_tool(item, number, hashed))
    steps = tuple(
        Step(index=index, model=model, tool_calls=tuple(calls)) for index, (model, calls) in enumerate(groups)
    )
    header = Header(request_id="req_1", run_id="run_1", tenant="acme", environment="golden", agent="support")
    known = {
        "request_id": "req_1",
        "run_id": "run_1",
        "tenant": "acme",
        "environment": "golden",
        "agent": "support",
        "output": "done",
        "totals": count_totals(header, steps, denials, 0, 1.0),
    }
    return Trace(steps=steps, stop_reason=stop_reason, **{**known, **fields})


def _model(item: Model, number: int, hashed: bool) -> ModelStep:
    return ModelStep(
        lane=f"{number}.model/1",
        request_model=item.model,
        text=item.text,
        tool_names=item.tools,
        finish_reason="tool_call" if item.tools else "stop",
        input_tokens=item.tokens,
        output_tokens=item.tokens,
        cost_nanousd=item.nanousd,
        duration_s=item.seconds,
        attempts=item.attempts,
        hash=fingerprint([item.model, item.text, item.tools]) if hashed else "",
    )


def _tool(item: Tool, number: int, hashed: bool) -> ToolStep:
    return ToolStep(
        id=f"call#{number}",
        lane=f"{number}.tool0/1",
        name=item.name,
        arguments=item.arguments,
        status=item.status,
        result=item.result,
        write=item.write,
        attempts=item.attempts,
        duration_s=item.seconds,
        args_hash=fingerprint(item.arguments) if hashed else "",
        hash=fingerprint([item.name, item.arguments, item.status, item.result]) if hashed else "",
    )


_amounts = st.one_of(st.none(), st.integers(0, 10**6))
_seconds = st.one_of(st.none(), st.integers(0, 1000).map(lambda n: n / 8))
_words = st.sampled_from(["refund", "parcel", "late", "order", "eu"])
models = st.builds(
    Model,
    text=st.lists(_words, max_size=4).map(" ".join),
    tools=st.lists(st.sampled_from(["kb.search", "http.get"]), max_size=2).map(tuple),
    model=st.sampled_from(["gpt-4o", "claude"]),
    tokens=_amounts,
    nanousd=_amounts,
    seconds=_seconds,
    attempts=st.integers(1, 2),
)
tools = st.builds(
    Tool,
    name=st.sampled_from(["kb.search", "http.get", "ticket.create"]),
    arguments=st.dictionaries(
        st.sampled_from(["q", "url", "n"]), st.one_of(_words, st.integers(0, 3)), max_size=2
    ),
    result=st.one_of(st.none(), _words),
    status=st.sampled_from(["ok", "error", "timeout"]),
    write=st.booleans(),
    seconds=_seconds,
    attempts=st.integers(0, 2),
)
items = st.lists(st.one_of(models, tools), max_size=14)


@st.composite
def related(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Draw two runs, mostly the second one an edited form of the first."""
    first: list[Item] = draw(items)
    if draw(st.integers(0, 3)) == 0:
        return first, draw(items)
    second = list(first)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(second)))
        match draw(st.sampled_from(["insert", "drop", "repeat", "move", "replace"])):
            case "insert":
                second.insert(at, draw(st.one_of(models, tools)))
            case "repeat" if at < len(second):
                second.insert(at, second[at])
            case "drop" if at < len(second):
                del second[at]
            case "move" if at < len(second):
                second.insert(draw(st.integers(0, len(second) - 1)), second.pop(at))
            case "replace" if at < len(second):
                second[at] = draw(st.one_of(models, tools))
            case _:
                pass
    return first, second
