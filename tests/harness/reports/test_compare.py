"""Comparing deploys: pairing, decisions, gates, broken deploys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reports import Report, compare, ingest, report_json
from runtime.core.trace import Trace
from runtime.errors import DataError, UsageError
from tests.support.counts import FULL, examples

MakeRun = Callable[..., Trace]
CompareRuns = Callable[..., Report]


def _metric(report: Report, name: str) -> Any:
    return next(m for m in report.metrics if m.metric == name)


def _share(report: Report, name: str) -> Any:
    return next(s for s in report.shares if s.metric == name)


def test_the_document_has_the_fields_of_the_contract(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}", calls=i % 4) for i in range(10)]

    document = report_json(compare_runs(runs, runs))

    assert document["schema"] == "goldrun.report/1"
    assert (document["baseline"], document["candidate"]) == ("a", "b")
    assert document["pairs"] == {"paired": 10, "only_baseline": 0, "only_candidate": 0}
    names = [m["metric"] for m in document["metrics"]]
    assert names == ["cost_usd", "total_tokens", "tool_calls", "duration_s", "steps"]
    wanted = {"metric", "baseline", "candidate", "ratio", "ci_low", "ci_high", "p", "decision"}
    assert all(wanted <= set(m) for m in document["metrics"])
    assert [s["metric"] for s in document["shares"]][:4] == ["completion", "passed", "loop", "loops"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_doubled_calls_regress_with_interval_and_cause(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=2 + i % 5) for i in range(25)]
    second = [make_run(f"t{i}", calls=2 * (2 + i % 5)) for i in range(25)]

    report = compare_runs(first, second)
    calls = _metric(report, "tool_calls")

    assert report.verdict == calls.decision == "regressed"
    assert 1 < calls.ci_low <= calls.ratio <= calls.ci_high
    assert calls.total_ratio == 2
    assert _metric(report, "cost_usd").decision == "ok"
    assert "tool calls +100 %" in report.causes[0]


def test_a_significant_but_small_change_warns(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", tokens=10_000) for i in range(25)]
    second = [make_run(f"t{i}", tokens=10_300) for i in range(25)]

    report = compare_runs(first, second)

    assert _metric(report, "total_tokens").decision == "warn"
    assert report.verdict == "ok"


def test_repeats_of_a_task_are_averaged_into_one_pair(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=2, repeat=k) for i in range(9) for k in range(3)]
    second = [make_run(f"t{i}", calls=1 + k, repeat=k) for i in range(9) for k in range(3)]

    report = compare_runs(first, second)
    calls = _metric(report, "tool_calls")

    assert report.pairs.paired == calls.pairs == 9
    assert (calls.baseline, calls.candidate) == (18, 18)


def test_equal_task_names_of_two_suites_are_two_tasks(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run("t", suite=f"s{i}", request_id=f"req{i}") for i in range(9)]

    report = compare_runs(runs, runs[:8])

    assert (report.pairs.paired, report.pairs.only_baseline, report.pairs.only_candidate) == (8, 1, 0)


def test_zeros_count(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=0) for i in range(20)]
    second = [make_run(f"t{i}", calls=3) for i in range(20)]

    report = compare_runs(first, second)

    assert _metric(report, "tool_calls").ratio == pytest.approx(4)
    assert _metric(report, "tool_calls").total_ratio is None
    assert report.verdict == "regressed"


def test_unknown_costs_are_not_available_and_never_zero(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}") for i in range(10)]
    second = [make_run(f"t{i}", cost=None) for i in range(10)]

    report = compare_runs(first, second)
    cost = _metric(report, "cost_usd")

    assert (cost.decision, cost.baseline, cost.candidate, cost.ratio) == ("insufficient", None, None, None)
    assert report.verdict == "insufficient"
    assert "cost known for only 0 % of runs" in report.headline
    assert "cost is unknown for 10 runs of the candidate" in report.comparability
    assert report.summary["candidate"]["cost_usd_per_run"] is None


def test_fewer_than_eight_live_pairs_are_insufficient(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=1) for i in range(7)]
    second = [make_run(f"t{i}", calls=9) for i in range(7)]

    report = compare_runs(first, second)

    assert report.verdict == "insufficient"
    assert {m.decision for m in report.metrics} == {"insufficient"}


def test_no_pair_is_an_error(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    with pytest.raises(DataError, match="0 pairs"):
        compare_runs([make_run("x")], [make_run("y")])


def test_replayed_goldens_regress_with_one_call_more(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", source="golden", replayed=True, calls=3) for i in range(3)]
    second = [make_run(f"t{i}", source="replay", calls=3 + (i == 1)) for i in range(3)]

    report = compare_runs(first, second)
    calls = _metric(report, "tool_calls")

    assert (report.mode, report.verdict, calls.decision) == ("exact", "regressed", "regressed")
    assert (calls.ci_low, calls.p) == (None, None)
    changed = [t for t in report.tasks if t.metric == "tool_calls"]
    assert [(t.task, t.q, t.decision) for t in changed] == [("refunds/t1", None, "regressed")]


def test_replayed_goldens_that_are_equal_are_ok(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run("t", source="golden", passed=True, replayed=True)]

    report = compare_runs(runs, runs)

    assert (report.verdict, report.tasks) == ("ok", ())


def test_a_replayed_golden_that_stops_differently_regresses(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", source="golden", replayed=True) for i in range(3)]
    second = [
        make_run(f"t{i}", source="golden", replayed=True, stop="finish" if i else "max_steps")
        for i in range(3)
    ]

    report = compare_runs(first, second)

    assert report.verdict == "regressed"
    assert _share(report, "completion").decision == _share(report, "stop:budget").decision == "regressed"
    assert report.stop_reasons["max_steps"] == {"baseline": 0, "candidate": 1}


def test_one_run_that_flips_among_live_runs_is_noise(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}") for i in range(30)]
    second = [make_run(f"t{i}", stop="finish" if i else "max_steps") for i in range(30)]

    assert compare_runs(first, second).verdict == "ok"


def test_collapsed_completion_is_a_regression_and_no_saving(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", calls=6, cost=6_000_000) for i in range(12)]
    second = [make_run(f"t{i}", calls=1, cost=10, stop="internal_error") for i in range(12)]

    report = compare_runs(first, second)

    assert report.verdict == "regressed"
    assert _share(report, "completion").decision == _share(report, "stop:fault").decision == "regressed"
    assert "improved" not in {m.decision for m in report.metrics}


def test_a_candidate_that_uses_no_tools_is_a_regression(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=4, cost=6_000_000) for i in range(12)]
    second = [make_run(f"t{i}", calls=0, cost=1_000_000) for i in range(12)]

    report = compare_runs(first, second)

    assert report.verdict == "regressed"
    assert _metric(report, "cost_usd").decision == _metric(report, "tool_calls").decision == "does_less"
    assert "runs that use tools 12 -> 0 runs" in report.headline


def test_a_replayed_golden_that_lost_its_tools_is_a_regression(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", source="golden", replayed=True, calls=4) for i in range(2)]
    second = [make_run(f"t{i}", source="golden", replayed=True, calls=4 * i) for i in range(2)]

    assert compare_runs(first, second).verdict == "regressed"


def test_fewer_calls_with_the_same_results_are_an_improvement(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = [make_run(f"t{i}", calls=6 + i % 3, passed=True) for i in range(90)]
    second = [make_run(f"t{i}", calls=3 + i % 2, passed=True) for i in range(90)]

    report = compare_runs(first, second)

    assert (report.verdict, _metric(report, "tool_calls").decision) == ("ok", "improved")


def test_duration_decides_only_when_asked(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", seconds=1.0) for i in range(20)]
    second = [make_run(f"t{i}", seconds=2.0) for i in range(20)]

    free, gated = compare_runs(first, second), compare_runs(first, second, gates=["duration_s"])

    assert _metric(free, "duration_s").decision == "warn"
    assert not _metric(free, "duration_s").gated
    assert (free.verdict, gated.verdict) == ("ok", "regressed")


def test_a_gate_that_cannot_be_judged_is_not_comparable(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}", seconds=None) for i in range(20)]

    assert compare_runs(runs, runs, gates=["duration_s"]).verdict == "not_comparable"


def test_an_unknown_gate_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="latency"):
        compare(tmp_path, baseline="a", candidate="b", gates=["latency"])


def test_a_doubled_task_among_repeats_is_named(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    rng = np.random.default_rng(2)

    def runs(doubled: int | None) -> list[Trace]:
        return [
            make_run(f"t{i:02}", repeat=k, tokens=int(5000 * rng.lognormal(0, 0.1) * (1 + (i == doubled))))
            for i in range(20)
            for k in range(5)
        ]

    report = compare_runs(runs(None), runs(7))
    found = [t for t in report.tasks if t.metric == "total_tokens" and t.decision == "regressed"]

    assert [t.task for t in found] == ["refunds/t07"]
    assert found[0].q is not None
    assert found[0].q < 0.05


def test_single_runs_are_shown_without_a_finding(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i:02}", calls=2) for i in range(30)]
    second = [make_run(f"t{i:02}", calls=9 if i == 4 else 2) for i in range(30)]

    shown = [t for t in compare_runs(first, second).tasks if t.metric == "tool_calls"]

    assert [(t.task, t.q, t.decision) for t in shown] == [("refunds/t04", None, "insufficient")]


def test_seed_metrics_are_there_by_tenant_and_by_tool(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}", tenant=("x", "y")[i % 2], calls=i, loops=int(i == 9)) for i in range(10)]

    document = report_json(compare_runs(runs, runs))
    side = document["summary"]["baseline"]

    assert (side["tool_calls_p50"], side["completion_rate"], side["loop_rate"]) == (4.5, 1.0, 0.1)
    assert side["cost_usd_per_run"] == pytest.approx(0.002)
    assert [t["tenant"] for t in document["by_tenant"]] == ["x", "y"]
    assert document["by_tool"][0]["tool"] == "kb.search"
    assert document["by_tool"][0]["baseline"]["calls"] == 45


def test_flipped_labels_of_one_deploy_rarely_alarm(make_run: MakeRun, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    trials, alarms = (30, 0) if FULL else (8, 0)
    for trial in range(trials):
        history = tmp_path / str(trial)
        for label in ("a", "b"):
            traces = [
                make_run(
                    f"t{i:02}",
                    calls=int(rng.poisson(8)),
                    tokens=int(20_000 * rng.lognormal(0, 0.5)),
                    passed=bool(rng.random() < 0.5),
                    stop="finish" if rng.random() < 0.9 else "max_steps",
                    loops=int(rng.random() < 0.1),
                    denials=int(rng.random() < 0.1),
                )
                for i in range(40)
            ]
            ingest(traces, deploy=label, history=history)
        alarms += compare(history, baseline="a", candidate="b").verdict == "regressed"

    assert alarms <= 4 * trials // 30


@settings(max_examples=examples(4, 40))
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=8, max_size=14), st.integers(0, 3))
def test_swapping_the_deploys_mirrors_the_report(
    make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory, counts: list[tuple[int, int]], extra: int
) -> None:
    history = tmp_path_factory.mktemp("swap")
    first = [make_run(f"t{i}", calls=a, cost=a * 1000) for i, (a, _) in enumerate(counts)]
    second = [make_run(f"t{i}", calls=b, cost=b * 1000) for i, (_, b) in enumerate(counts)]
    first += [make_run(f"only{i}") for i in range(extra)]
    ingest(first, deploy="a", history=history)
    ingest(second, deploy="b", history=history)

    there = compare(history, baseline="a", candidate="b")
    back = compare(history, baseline="b", candidate="a")

    assert (there.pairs.paired, there.pairs.only_baseline) == (back.pairs.paired, back.pairs.only_candidate)
    for one, other in zip(there.metrics, back.metrics, strict=True):
        assert (one.baseline, one.candidate) == (other.candidate, other.baseline)
        assert math.log(one.ratio or 1) == pytest.approx(-math.log(other.ratio or 1), abs=1e-9)
    assert there.attribution is not None
    assert back.attribution is not None
    assert there.attribution.delta == -back.attribution.delta
