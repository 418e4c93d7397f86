import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.store import iter_recordings
from harness.importers.registry import ImportSummary, import_paths
from harness.sessions.replay import replay_run
from runtime.journal.recording import Recording

REAL = Path(__file__).parents[3].parent / "shared" / "real"


def calls(*names_and_ids: tuple[str, str], arguments: str = '{"day": 1}') -> dict[str, Any]:
    wires = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, call_id in names_and_ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": wires}


def result(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


CHAT = [
    {"role": "system", "content": "Be brief."},
    user("Weather?"),
    calls(("weather", "c1")),
    result("c1", "rain"),
    says("It rains."),
    user("Thanks."),
    says("Bye."),
]


def imported(
    tmp_path: Path, document: Any, *, form: str = "openai-messages", name: str = "chat.json"
) -> tuple[ImportSummary, list[Recording]]:
    path = tmp_path / name
    lines = [json.dumps(d) for d in document] if ".jsonl" in name else [json.dumps(document)]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    summary = import_paths(form, [path], tmp_path / "out")
    return summary, list(iter_recordings(tmp_path / "out")) if summary.files else []


@pytest.mark.parametrize(
    ("name", "document", "runs"),
    [
        ("list.json", CHAT, 1),
        ("object.json", {"model": "gpt-4o", "messages": CHAT, "tools": []}, 1),
        ("lists.json", [CHAT, [*CHAT, user("More.")]], 2),
        ("objects.json.gz", [{"messages": CHAT}, {"messages": CHAT[:5]}], 2),
        ("lines.jsonl", [{"messages": CHAT}, CHAT[:5]], 2),
        ("messages.jsonl.gz", CHAT, 1),
    ],
)
def test_each_form_of_chat_messages_imports_and_replays(
    tmp_path: Path, name: str, document: Any, runs: int
) -> None:
    summary, recordings = imported(tmp_path, document, name=name)

    assert (summary.runs, summary.replayable, summary.skipped, summary.damaged) == (runs, runs, [], [])
    for recording in recordings:
        assert replay_run(recording).verdict == "same"
        assert [c.result for c in recording.trace().tool_calls] == ["rain"]


def test_a_conversation_that_ends_with_a_reply_is_finished_and_its_turns_are_steps(tmp_path: Path) -> None:
    _, [recording] = imported(tmp_path, {"model": "gpt-4o", "id": "t1", "messages": CHAT})
    trace = recording.trace()

    assert (trace.stop_reason, trace.output, trace.totals.steps, trace.task) == ("finish", "Bye.", 3, "t1")
    assert recording.header.models == ("gpt-4o",)


@pytest.mark.parametrize(
    "end",
    [[calls(("weather", "c9"))], [user("Are you there?")], [calls(("a", "x"), ("b", "y")), result("y", "1")]],
)
def test_a_conversation_that_ends_otherwise_is_open(tmp_path: Path, end: list[Any]) -> None:
    _, [recording] = imported(tmp_path, [*CHAT, *end])

    assert recording.trace().stop_reason == "open"


def test_unanswered_calls_of_the_last_reply_did_not_start(tmp_path: Path) -> None:
    _, [recording] = imported(tmp_path, [*CHAT, calls(("weather", "c9"))])

    assert [c.status for c in recording.trace().tool_calls] == ["ok", "not_started"]
    assert replay_run(recording).verdict == "same"


def test_parallel_results_pair_by_id(tmp_path: Path) -> None:
    _, [recording] = imported(
        tmp_path,
        [user("Go."), calls(("a", "x"), ("b", "y")), result("y", "of b"), result("x", "of a"), says("Ok")],
    )

    assert [(c.name, c.result) for c in recording.trace().tool_calls] == [("a", "of a"), ("b", "of b")]
    assert recording.header.assert_only == (
        "step 0 has a message between its results, or has them in another order"
    )


def test_a_result_of_no_call_makes_the_run_assert_only_with_the_reason(tmp_path: Path) -> None:
    summary, [recording] = imported(
        tmp_path, [user("Go."), says("Hm."), result("x", "of nothing"), says("Ok")]
    )

    assert (summary.runs, summary.replayable) == (1, 0)
    assert recording.header.assert_only == "step 0 has 1 results of 0 calls"


def test_malformed_arguments_stay_text(tmp_path: Path) -> None:
    _, [recording] = imported(
        tmp_path, [user("Go."), calls(("a", "x"), arguments='{"day": '), result("x", "no"), says("Ok")]
    )

    assert recording.trace().tool_calls[0].arguments == '{"day": '
    assert replay_run(recording).verdict == "same"


def test_entries_that_are_no_run_are_skipped_and_counted(tmp_path: Path) -> None:
    summary, _ = imported(tmp_path, [CHAT, {"note": "no run"}, 7])

    assert summary.runs == 1
    assert [reason.rsplit(": ", 1)[1] for reason in summary.skipped] == [
        "entry 1 is no run of the format openai-messages",
        "entry 2 is no run of the format openai-messages",
    ]


@pytest.mark.parametrize("document", [{}, [], 5, "text", {"messages": []}, {"messages": [{"role": "robot"}]}])
def test_a_document_of_another_form_is_skipped(tmp_path: Path, document: Any) -> None:
    for form in ("openai-messages", "tau-bench"):
        summary, _ = imported(tmp_path, document, form=form)
        assert (summary.runs, len(summary.skipped), summary.exit_code) == (0, 1, 0)


def trial(task: int, number: int, reward: float, messages: list[Any]) -> dict[str, Any]:
    info = {"task": {"user_id": "mia"}, "source": "user", "user_cost": 0.01}
    return {"task_id": task, "trial": number, "reward": reward, "info": info, "traj": messages}


def test_trials_of_tau_bench_keep_task_trial_and_reward(tmp_path: Path) -> None:
    trials = [
        trial(3, 0, 1.0, CHAT),
        trial(3, 1, 0.0, [*CHAT, calls(("book", "b")), result("b", "Error: no seat"), user("###STOP###")]),
        trial(4, 0, 0.0, []) | {"info": {"error": "timed out", "traceback": "..."}},
    ]
    summary, recordings = imported(tmp_path, trials, form="tau-bench", name="gpt-4o-retail.json")
    by_place = {(r.header.task, r.header.repeat): r for r in recordings}
    failed = by_place["3", 1].trace()

    assert [path.name for path in summary.files] == ["gpt-4o-retail.seg"]
    assert (summary.runs, summary.replayable) == (3, 2)
    assert by_place["3", 0].header.labels["passed"] is True
    assert (failed.labels["passed"], failed.suite, failed.stop_reason) == (False, "retail", "open")
    assert failed.tool_calls[-1].status == "error"
    assert by_place["4", 0].header.assert_only == "it holds no reply"
    assert by_place["4", 0].header.labels["error"] == "timed out"


def test_a_single_trial_is_a_cassette_and_importing_twice_changes_nothing(tmp_path: Path) -> None:
    first, _ = imported(tmp_path, trial(1, 0, 1.0, CHAT), form="tau-bench", name="one.json")
    second, recordings = imported(tmp_path, trial(1, 0, 1.0, CHAT), form="tau-bench", name="one.json")

    assert [path.name for path in first.files] == ["one.cassette.json"]
    assert second.files == first.files
    assert len(recordings) == 1


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data set is not here")
def test_all_real_trials_of_tau_bench_import_and_replay(tmp_path: Path) -> None:
    summary = import_paths("tau-bench", [REAL / "runs" / "tau-bench"], tmp_path)
    recordings = list(iter_recordings(tmp_path))
    traces = [recording.trace() for recording in recordings]

    assert (summary.runs, summary.replayable, summary.skipped) == (200, 200, [])
    assert {replay_run(recording).verdict for recording in recordings} == {"same"}
    assert sum(trace.totals.tool_calls for trace in traces) == 1164
    assert sum(trace.totals.steps for trace in traces) == 2454
    failed = [[c.status for c in trace.tool_calls].count("error") for trace in traces]
    assert (sum(failed), sum(1 for count in failed if count)) == (73, 36)
    solved = [sum(t.labels["passed"] is True for t in traces if t.repeat == trial) for trial in range(4)]
    assert solved == [21, 22, 20, 21]
