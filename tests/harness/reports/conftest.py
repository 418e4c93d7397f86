"""Builders of traces and histories for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.reports import Report, compare, ingest
from runtime.core import ids
from runtime.core.run import Totals
from runtime.core.trace import ModelStep, Step, ToolStep, Trace

MakeRun = Callable[..., Trace]
CompareRuns = Callable[..., Report]


def build_run(
    task: str | None,
    *,
    calls: int = 3,
    tokens: int | None = 1000,
    cost: int | None = 2_000_000,
    seconds: float | None = 1.0,
    repeat: int = 0,
    tool: str = "kb.search",
    model: str = "gpt-4o",
    stop: str = "finish",
    passed: bool | None = None,
    denials: int = 0,
    loops: int = 0,
    model_calls: int | None = None,
    output_tokens: int | None = None,
    replayed: bool = False,
    **fields: Any,
) -> Trace:
    """Return a small trace whose totals are as told."""
    made = tuple(
        ToolStep(
            id=f"call#{i + 1}",
            lane=f"0.tool{i}/1",
            name=tool,
            arguments={"q": i},
            status="ok",
            result="found",
            attempts=1,
            duration_s=0.1,
            args_hash=f"{i:032x}",
        )
        for i in range(calls)
    )
    labels: dict[str, Any] = {} if passed is None else {"passed": passed}
    labels |= {"replayed": True} if replayed else {}
    step = Step(index=0, model=ModelStep(lane="0.model/1", request_model=model), tool_calls=made)
    out = output_tokens if output_tokens is not None else (None if tokens is None else tokens // 10)
    source = fields.pop("source", "prod")
    request_id = fields.pop("request_id", f"req_{task}_{repeat}_{source}")
    return Trace(
        request_id=request_id,
        run_id=ids.run_id(request_id, deploy=None, source=source, repeat=repeat),
        tenant=fields.pop("tenant", "acme"),
        environment="test",
        agent="support",
        source=source,
        suite=fields.pop("suite", "refunds"),
        task=task,
        repeat=repeat,
        labels=labels,
        stop_reason=stop,
        steps=(step,),
        totals=Totals(
            steps=calls + 1,
            model_calls=calls + 1 if model_calls is None else model_calls,
            tool_calls=calls,
            tool_executions=calls,
            denials=denials,
            loops=loops,
            input_tokens=None if tokens is None or out is None else tokens - out,
            output_tokens=out,
            total_tokens=tokens,
            cost_nanousd=cost,
            duration_s=seconds,
        ),
        **fields,
    )


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Return the builder of traces."""
    return build_run


@pytest.fixture
def compare_runs(tmp_path: Path) -> CompareRuns:
    """Return a function that ingests two lists of traces as deploys `a` and `b` and compares them."""

    def run(first: list[Trace], second: list[Trace], **options: Any) -> Report:
        ingest(first, deploy="a", history=tmp_path)
        ingest(second, deploy="b", history=tmp_path)
        return compare(tmp_path, baseline="a", candidate="b", **options)

    return run
