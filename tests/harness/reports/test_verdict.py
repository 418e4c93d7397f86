"""What a verdict must not call ok or improved, and what its headline must say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.main import run as goldrun
from harness.reports import Report, RunToIngest, compare, ingest, report_json
from harness.reports.metrics import ExactLimits
from runtime.core.trace import Trace

MakeRun = Callable[..., Trace]
CompareRuns = Callable[..., Report]


def _metric(report: Report, name: str = "cost_usd") -> Any:
    return next(m for m in report.metrics if m.metric == name)


def _total(report: Report, name: str = "cost_usd") -> Any:
    return next(t for t in report.totals if t.metric == name)


def _share(report: Report, name: str) -> Any:
    return next(s for s in report.shares if s.metric == name)


def test_a_bill_that_triples_by_one_task_warns_and_names_it(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", cost=10**7 if i else 10**8) for i in range(40)]
    second = [make_run(f"t{i}", cost=10**7 if i else 11 * 10**8) for i in range(40)]

    report = compare_runs(first, second)

    assert (_total(report).decision, _total(report).heavy) == ("warn", ("refunds/t0",))
    assert report.headline.startswith("WARN: no regression shown: b against a: cost +204 %")
    assert "carried by refunds/t0" in report.headline


def test_fail_on_warn_makes_a_warning_fail(tmp_path: Path, make_run: MakeRun) -> None:
    for label, dear in (("a", 10**8), ("b", 11 * 10**8)):
        ingest(
            [make_run(f"t{i}", cost=10**7 if i else dear) for i in range(40)], deploy=label, history=tmp_path
        )
    command = ["report", "--baseline", "a", "--candidate", "b", "--history", str(tmp_path)]

    assert goldrun(command) == 0
    assert goldrun([*command, "--fail-on", "warn"]) == 1


def test_a_heavy_tenth_that_doubles_is_a_regression_of_the_total(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i:03}", cost=10**7 * (1 + 5 * (i < 20))) for i in range(200)]
    second = [make_run(f"t{i:03}", cost=10**7 * (1 + 11 * (i < 20))) for i in range(200)]

    report = compare_runs(first, second)

    assert (_total(report).decision, report.verdict) == ("regressed", "regressed")


def test_a_candidate_that_ran_few_tasks_is_insufficient(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}", passed=True) for i in range(60)]

    report = compare_runs(runs, runs[:10])

    assert report.verdict == "insufficient"
    assert report.coverage.tasks == pytest.approx(1 / 6)
    assert "only 17 % of the baseline's tasks ran" in report.headline


def test_missing_prices_of_the_dear_tasks_are_insufficient(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}") for i in range(60)]
    second = [make_run(f"t{i}", cost=None if i < 45 else 2_000_000) for i in range(60)]

    report = compare_runs(first, second)

    assert (_metric(report).decision, report.verdict) == ("insufficient", "insufficient")
    assert "cost known for only 25 % of runs" in report.headline


def test_new_tasks_that_all_fail_warn(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}", passed=True) for i in range(30)]
    new = [make_run(f"new{i}", passed=False, stop="max_steps") for i in range(50)]

    report = compare_runs(runs, [*runs, *new])

    assert "new tasks fare worse: 0 of 50 runs are good" in report.headline


@pytest.mark.parametrize("tasks", [3, 12])
def test_a_write_tool_that_all_tasks_used_and_none_uses_is_a_regression(
    tmp_path: Path, make_run: MakeRun, tasks: int
) -> None:
    def runs(tool: str, *, write: bool) -> list[Trace]:
        traces = [make_run(f"t{i}", calls=1, tool=tool, passed=True) for i in range(tasks)]
        return [_with_write(trace, write=write) for trace in traces]

    ingest(runs("refund.create", write=True), deploy="a", history=tmp_path)
    ingest(runs("kb.search", write=False), deploy="b", history=tmp_path)

    report = compare(tmp_path, baseline="a", candidate="b")

    assert (report.verdict, _share(report, "tool:refund.create").decision) == ("regressed", "regressed")
    assert f"runs that use refund.create {tasks} -> 0 runs (no run uses it any more)" in report.headline


def _with_write(trace: Trace, *, write: bool) -> Trace:
    steps = tuple(
        msgspec.structs.replace(
            step, tool_calls=tuple(msgspec.structs.replace(c, write=write) for c in step.tool_calls)
        )
        for step in trace.steps
    )
    return msgspec.structs.replace(trace, steps=steps)


def test_a_read_tool_that_is_used_less_only_warns(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=2, tool="a.read", passed=True) for i in range(40)]
    second = [make_run(f"t{i}", calls=2, tool="b.read", passed=True) for i in range(40)]

    report = compare_runs(first, second)

    assert (_share(report, "tool:a.read").decision, report.verdict) == ("warn", "ok")
    assert report.headline.startswith("WARN")


def test_cheaper_without_labels_is_not_an_improvement(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", cost=10**7) for i in range(90)]
    second = [make_run(f"t{i}", cost=6 * 10**6) for i in range(90)]

    report = compare_runs(first, second)

    assert (_metric(report).decision, _total(report).decision) == ("cheaper_unproven", "cheaper_unproven")
    assert "cheaper; quality not shown" in report.headline


def test_cheaper_with_passed_shown_is_an_improvement(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", cost=10**7, passed=True) for i in range(90)]
    second = [make_run(f"t{i}", cost=6 * 10**6, passed=True) for i in range(90)]

    assert _metric(compare_runs(first, second)).decision == "improved"


def test_cheaper_because_fewer_pass_does_less(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", cost=10**7, passed=i % 5 > 0) for i in range(100)]
    second = [make_run(f"t{i}", cost=6 * 10**6, passed=i % 5 > 2) for i in range(100)]

    report = compare_runs(first, second)

    assert (_metric(report).decision, report.verdict) == ("does_less", "regressed")
    assert "cheaper, does less" in report.headline
    assert "40 tasks broken" in report.headline


def test_no_tool_call_in_half_the_tasks_is_no_improvement(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", calls=4, cost=10**7) for i in range(60)]
    second = [make_run(f"t{i}", calls=4 * (i % 20 > 8), cost=6 * 10**6) for i in range(60)]

    report = compare_runs(first, second)

    assert (report.verdict, _share(report, "tool_use").decision) == ("regressed", "regressed")
    assert _metric(report).decision == "does_less"


def test_both_halves_flips_and_the_cost_of_a_passed_run_are_told(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i:02}", cost=10**7, passed=i < 10) for i in range(40)]
    second = [make_run(f"t{i:02}", cost=2 * 10**7, passed=i >= 4) for i in range(40)]

    report = compare_runs(first, second)

    assert report.verdict == "regressed"
    assert report.headline.startswith("REGRESSED: b against a: cost +100 % ($0.4 -> $0.8; typical x2.00)")
    assert "4 tasks broken (refunds/t00, refunds/t01, ...), 30 fixed" in report.headline
    assert report.cost_per_passed == {
        "baseline": pytest.approx(0.04),
        "candidate": pytest.approx(0.8 / 36),
    }


def test_replayed_runs_may_grow_within_the_limits(tmp_path: Path, make_run: MakeRun) -> None:
    for label, tokens in (("a", 50_000), ("b", 50_001), ("c", 52_000)):
        runs = [make_run(f"t{i}", replayed=True, tokens=tokens if i == 0 else 50_000) for i in range(3)]
        ingest(runs, deploy=label, history=tmp_path)

    loose = ExactLimits(max_ratio=1.1)
    by_delta = ExactLimits(min_delta={"total_tokens": 3_000})

    assert compare(tmp_path, baseline="a", candidate="b").verdict == "ok"
    report = compare(tmp_path, baseline="a", candidate="c")
    assert report.verdict == "regressed"
    assert "grew when replayed: refunds/t0 (50,000 -> 52,000)" in report.causes[0]
    assert compare(tmp_path, baseline="a", candidate="c", limits=loose).verdict == "ok"
    assert compare(tmp_path, baseline="a", candidate="c", limits=by_delta).verdict == "ok"


def test_a_golden_task_that_ran_live_is_not_compared_exactly(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", source="golden", tokens=1000) for i in range(30)]
    second = [make_run(f"t{i}", source="golden", tokens=1000 + 40 * (-1) ** i) for i in range(30)]

    report = compare_runs(first, second)

    assert (report.mode, report.verdict) == ("statistical", "ok")


def test_each_metric_states_what_it_could_have_seen(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}") for i in range(30)]
    noisy = [make_run(f"t{i}", cost=2_000_000 + 400_000 * (-1) ** i) for i in range(30)]

    report = compare_runs(runs, noisy)

    assert _metric(report, "total_tokens").smallest_seen == pytest.approx(0.05)
    assert 0.1 < _metric(report).smallest_seen < 0.4
    assert report_json(report)["metrics"][0]["smallest_seen"] == _metric(report).smallest_seen


def _traffic(
    make_run: MakeRun, mix: dict[str, int], cost: dict[str, int], **fields: Any
) -> list[RunToIngest]:
    return [
        RunToIngest(
            trace=make_run(
                None,
                request_id=f"{kind}-{i}",
                cost=cost[kind] + 1000 * (i % 7),
                tokens=cost[kind] // 1000,
                **fields,
            ),
            message=f"{kind} number {i}",
        )
        for kind, count in mix.items()
        for i in range(count)
    ]


def test_production_runs_are_compared_and_gate(tmp_path: Path, make_run: MakeRun) -> None:
    for label, calls in (("v1", 1), ("v2", 3)):
        runs = [
            RunToIngest(
                trace=make_run(None, request_id=f"req_{i}", calls=calls, cost=calls * 10**6),
                message=f"where is parcel {i}?",
            )
            for i in range(30)
        ]
        ingest(runs, deploy=label, history=tmp_path)

    report = compare(tmp_path, baseline="v1", candidate="v2")

    assert (report.mode, report.verdict, len(report.strata)) == ("standardised", "regressed", 1)
    assert (_metric(report).decision, _metric(report, "tool_calls").decision) == ("regressed", "regressed")
    assert report.headline.startswith("REGRESSED: v2 against v1: cost +200 %")
    assert goldrun(["report", "--baseline", "v1", "--candidate", "v2", "--history", str(tmp_path)]) == 1


def test_a_shifted_mix_is_no_change_and_a_simpson_pair_turns_the_sign(
    tmp_path: Path, make_run: MakeRun
) -> None:
    cheap, dear = {"easy": 10**6, "hard": 20 * 10**6}, {"easy": 13 * 10**5, "hard": 26 * 10**6}
    ingest(_traffic(make_run, {"easy": 20, "hard": 60}, cheap), deploy="a", history=tmp_path)
    ingest(_traffic(make_run, {"easy": 60, "hard": 20}, cheap), deploy="mix", history=tmp_path)
    ingest(_traffic(make_run, {"easy": 60, "hard": 20}, dear), deploy="worse", history=tmp_path)

    mixed = compare(tmp_path, baseline="a", candidate="mix")
    worse = compare(tmp_path, baseline="a", candidate="worse")
    pooled = {side: worse.summary[side]["cost_usd_per_run"] for side in ("baseline", "candidate")}

    assert (mixed.verdict, _total(mixed).ratio) == ("ok", pytest.approx(1, abs=0.01))
    assert pooled["candidate"] < pooled["baseline"]
    assert (worse.verdict, _total(worse).ratio) == ("regressed", pytest.approx(1.3, abs=0.01))
    assert {round(s.weight, 2) for s in worse.strata} == {0.25, 0.75}


def test_traffic_of_which_half_is_gone_is_insufficient(tmp_path: Path, make_run: MakeRun) -> None:
    cost = {"easy": 10**6, "hard": 20 * 10**6}
    ingest(_traffic(make_run, {"easy": 40, "hard": 40}, cost), deploy="a", history=tmp_path)
    ingest(_traffic(make_run, {"easy": 40}, cost), deploy="b", history=tmp_path)

    report = compare(tmp_path, baseline="a", candidate="b")

    assert report.verdict == "insufficient"
    assert "only 50 % of the baseline's traffic is covered" in report.headline


def test_runs_are_compared_by_a_label(tmp_path: Path, make_run: MakeRun) -> None:
    for label, factor in (("a", 1), ("b", 2)):
        runs = []
        for i in range(40):
            trace = make_run(None, request_id=f"r{i}", cost=factor * 10**6 * (1 + i % 2))
            trace.labels["route"] = ("billing", "parcels")[i % 2]
            runs.append(trace)
        ingest(runs, deploy=label, history=tmp_path)

    report = compare(tmp_path, baseline="a", candidate="b", key="label:route")

    assert {s.stratum for s in report.strata} == {"billing", "parcels"}
    assert report.verdict == "regressed"


def test_runs_without_a_task_gate_beside_paired_tasks(tmp_path: Path, make_run: MakeRun) -> None:
    tasks = [make_run(f"t{i}") for i in range(20)]
    for label, calls in (("a", 1), ("b", 4)):
        free = [make_run(None, request_id=f"r{i}", calls=calls) for i in range(30)]
        ingest([*tasks, *free], deploy=label, history=tmp_path)

    report = compare(tmp_path, baseline="a", candidate="b")

    assert report.production is not None
    assert (report.production.verdict, report.verdict) == ("regressed", "regressed")
    assert "runs without a task: regressed (tool calls" in report.headline
