"""Recorded agent runs as deploys: the regressions in them are found, and noise is not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.reports import Report, compare, ingest
from runtime.core import ids
from runtime.core.canonical import fingerprint
from runtime.core.run import Totals
from runtime.core.totals import count_loops
from runtime.core.trace import DenialEntry, ModelStep, Step, ToolStep, Trace

REAL = Path(__file__).parents[3].parent / "shared" / "real" / "runs"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the recorded runs are not on this machine")

Compared = Callable[..., Report]


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(p.get("content") or "" for p in content or [])


def _refused(message: dict[str, Any], text: str) -> bool:
    if message["role"] == "tool" and "is not allowed" in (message.get("error") or ""):
        return True
    return "[CALL ERROR]" in text and "has been refused" in text


def _steps(messages: list[dict[str, Any]], model: str) -> list[Step]:
    steps: list[Step] = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        index = len(steps)
        calls = tuple(
            ToolStep(
                id=f"call#{index}.{i}",
                lane=f"{index}.tool{i}/1",
                name=call["function"],
                arguments=call["args"],
                status="ok",
                args_hash=fingerprint(call["args"]),
            )
            for i, call in enumerate(message.get("tool_calls") or [])
        )
        reply = ModelStep(lane=f"{index}.model/1", request_model=model, text=_content(message))
        steps.append(Step(index=index, model=reply, tool_calls=calls))
    return steps


def _trace(path: str, run: dict[str, Any]) -> Trace:
    _, pipeline, suite, *task = path.removesuffix(".json").split("/")
    messages = run.get("messages") or run["conversations"]
    steps = _steps(messages, pipeline)
    calls = [call for step in steps for call in step.tool_calls]
    refused = [m for m in messages if _refused(m, _content(m))]
    asks = messages[-1]["role"] == "assistant" and messages[-1].get("tool_calls")
    request_id = "req_" + fingerprint([path, run])
    return Trace(
        request_id=request_id,
        run_id=ids.run_id(request_id, deploy=None, source="import"),
        tenant="public",
        environment="test",
        agent="agentdojo",
        source="import",
        suite=suite,
        task="/".join(task),
        labels={"passed": run["utility"]},
        stop_reason="max_steps" if asks else "finish",
        steps=tuple(steps),
        denials=tuple(DenialEntry(step=0, lane="", tool=None, rule="recorded", message="") for _ in refused),
        totals=Totals(
            steps=len(steps),
            model_calls=len(steps),
            tool_calls=len(calls),
            denials=len(refused),
            loops=count_loops(calls),
            total_tokens=run.get("total_tokens"),
            duration_s=run["duration"],
        ),
    )


def _traces(pipeline: str, suites: tuple[str, ...]) -> Iterator[Trace]:
    for suite in suites:
        with gzip.open(REAL / pipeline / f"{suite}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield _trace(record["path"], record["run"])


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    history = tmp_path_factory.mktemp("history")

    def run(
        first: str, second: str, suites: tuple[str, ...] = ("shopping", "dailylife"), **options: Any
    ) -> Report:
        labels = [pipeline.replace("/", "+") for pipeline in (first, second)]
        for label, pipeline in zip(labels, (first, second), strict=True):
            ingest(_traces(pipeline, suites), deploy=label, history=history)
        return compare(history, baseline=labels[0], candidate=labels[1], **options)

    return run


def _decision(report: Report, name: str) -> str:
    decisions = {metric.metric: metric.decision for metric in report.metrics}
    decisions |= {share.metric: share.decision for share in report.shares}
    return decisions[name]


MINI = "agentdyn/gpt-4o-mini-2024-07-18"
FULL = "agentdyn/gpt-4o-2024-08-06"
FIVE = "agentdyn/gpt-5-mini-2025-08-07"
GEMINI = "agentdyn/google_gemini-2.5-flash"


def test_a_guard_that_repeats_the_prompt_regresses_calls_loops_and_budget_stops(compared: Compared) -> None:
    report = compared(MINI, f"{MINI}-repeat_user_prompt")

    calls = next(m for m in report.metrics if m.metric == "tool_calls")
    budget = next(s for s in report.shares if s.metric == "stop:budget")
    loop = next(s for s in report.shares if s.metric == "loops")
    assert report.verdict == calls.decision == budget.decision == loop.decision == "regressed"
    assert report.pairs.paired == 439
    assert (calls.baseline, calls.candidate) == (3750, 5960)
    assert (budget.baseline_runs, budget.candidate_runs) == (8, 135)
    assert (loop.baseline_runs, loop.candidate_runs) == (3, 58)
    assert "tool calls +59 % over 439 paired tasks" in report.causes[0]
    assert _decision(report, "cost_usd") == _decision(report, "total_tokens") == "not_available"


def test_the_same_guard_on_a_better_model_is_not_flagged(compared: Compared) -> None:
    report = compared(FULL, f"{FULL}-repeat_user_prompt")

    assert (_decision(report, "tool_calls"), report.verdict) == ("ok", "ok")


def test_one_deploy_recorded_twice_is_noise(compared: Compared) -> None:
    report = compared(f"{MINI}-drift", "drift/gpt-4o-mini-2024-07-18", ("shopping",))

    calls = next(m for m in report.metrics if m.metric == "tool_calls")
    assert (calls.baseline, calls.candidate) == (999, 984)
    assert report.verdict == "ok"


def test_a_deploy_that_uses_no_tools_any_more_is_a_regression(compared: Compared) -> None:
    report = compared(GEMINI, f"{GEMINI}-tool_filter")

    assert (_decision(report, "tool_calls"), report.verdict) == ("does_less", "regressed")
    assert _decision(report, "tool_use") == "regressed"
    assert "improved" not in {metric.decision for metric in report.metrics}
    assert "runs that use tools 229 -> 0 runs" in report.headline


def test_tokens_regress_where_calls_do_not(compared: Compared) -> None:
    report = compared(f"{FULL}-drift", f"{FIVE}-drift")

    assert _decision(report, "total_tokens") == "regressed"
    assert _decision(report, "tool_calls") == "ok"
    assert report.attribution is not None
    assert report.attribution.measure == "total_tokens"


def test_a_guard_that_denies_too_much_regresses_the_deny_share(compared: Compared) -> None:
    report = compared(FULL, f"{FULL}-progent")

    deny = next(s for s in report.shares if s.metric == "deny")
    assert (deny.decision, deny.baseline_runs, deny.candidate_runs) == ("regressed", 0, 319)
    assert _decision(report, "completion") == "ok"


def test_a_slow_model_regresses_duration_when_gated(compared: Compared) -> None:
    report = compared(FULL, FIVE, gates=["duration_s"])

    assert _decision(report, "duration_s") == "regressed"
    assert any(cause.startswith("duration +") for cause in report.causes)
