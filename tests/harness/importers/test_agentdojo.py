from typing import Any

import pytest

from harness.importers.agentdojo import run_log
from harness.importers.agentdojo_runs import recognise
from harness.importers.conversion import convert
from harness.sessions.replay import replay_run
from runtime.core.effects import Input, InputReply, Refuse
from runtime.core.messages import TextPart, ToolCallPart, ToolResponsePart
from runtime.core.trace import parse_trace, trace_json
from runtime.journal.recording import Recording, recording_of


def call(name: str, args: dict[str, Any], call_id: str | None = "c1") -> dict[str, Any]:
    return {"function": name, "args": args, "id": call_id, "placeholder_args": None}


def asks(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def says(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "tool_calls": None}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "content": text}]}


def result(text: Any, error: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": "c1", "tool_call": None, "error": error}


def run_of(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "suite_name": "banking",
        "pipeline_name": "gpt-4o-2024-08-06-progent",
        "user_task_id": "user_task_1",
        "injection_task_id": None,
        "attack_type": None,
        "utility": True,
        "security": True,
        "duration": 12.5,
        "error": None,
        "messages": [{"role": "system", "content": "Be good."}, user("Pay the rent."), *messages],
        **fields,
    }


def imported(document: Any, *, redact: bool = True, deploy: str | None = None) -> Recording:
    run = recognise(document)
    assert run is not None
    return recording_of(convert(run_log(run), deploy=deploy, redact=redact).records)


def statuses(recording: Recording) -> list[str]:
    return [call.status for call in recording.trace().tool_calls]


def inputs(recording: Recording) -> list[InputReply]:
    return [o.value or InputReply() for effect, o in recording.pairs() if isinstance(effect, Input)]


def test_a_finished_run_replays_as_the_same_run() -> None:
    recording = imported(
        run_of(
            asks(call("pay", {"to": "A"}, "x"), call("pay", {"to": "B"}, "y"), content="Paying."),
            result("paid A"),
            result([{"type": "text", "content": "paid B"}]),
            user("And now?"),
            says(""),
            says([{"type": "text", "content": "All done."}]),
        )
    )

    trace = recording.trace()

    assert (trace.stop_reason, trace.output) == ("finish", "All done.")
    assert [len(step.tool_calls) for step in trace.steps] == [2, 0, 0]
    assert [reply.end for reply in inputs(recording)] == [None, None, "finish"]
    assert [len(reply.messages) for reply in inputs(recording)] == [1, 0, 0]
    assert replay_run(recording).verdict == "same"


def test_a_run_whose_last_reply_says_nothing_finishes_without_output() -> None:
    recording = imported(run_of(says(None)))

    assert (recording.stop_reason, recording.trace().output) == ("finish", None)
    assert replay_run(recording).verdict == "same"


def test_the_request_of_a_step_is_the_recorded_conversation_before_it() -> None:
    recording = imported(
        run_of(asks(call("pay", {}, None), content="Hm."), result("paid"), user("more"), says("ok"))
    )

    last = [item for item in recording.interactions if item.kind == "model"][-1]

    assert [(m.role, m.parts) for m in recording.messages(last)] == [
        ("system", (TextPart("Be good."),)),
        ("user", (TextPart("Pay the rent."),)),
        ("assistant", (TextPart("Hm."), ToolCallPart("call#1", "pay", {}))),
        ("tool", (ToolResponsePart("call#1", "paid"),)),
        ("user", (TextPart("more"),)),
    ]


def test_a_run_that_still_asks_for_tools_at_its_end_is_max_steps() -> None:
    recording = imported(
        run_of(asks(call("pay", {})), result("paid"), asks(call("pay", {}), call("see", {})))
    )

    refused = [effect for effect, _ in recording.pairs() if isinstance(effect, Refuse)]

    assert recording.stop_reason == "max_steps"
    assert recording.header.budget.max_steps == 2
    assert [(r.lane, r.status, r.rule, r.message) for r in refused] == [
        ("1.tool0/1", "not_started", "max_steps", ""),
        ("1.tool1/1", "not_started", "max_steps", ""),
    ]
    assert statuses(recording) == ["ok", "not_started", "not_started"]
    assert len(inputs(recording)) == 1
    assert recording.trace().output is None
    assert replay_run(recording).verdict == "same"


@pytest.mark.parametrize("tail", [[result("paid")], [result("paid"), user("go on")]])
def test_a_run_whose_last_message_is_no_reply_ends_open(tail: list[dict[str, Any]]) -> None:
    recording = imported(run_of(asks(call("pay", {})), *tail))

    assert recording.stop_reason == "open"
    assert recording.header.budget.max_steps is None
    assert inputs(recording)[-1].end == "open"
    assert replay_run(recording).verdict == "same"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "ok"),
        ("", "ok"),
        ("Invalid tool get_list provided.", "unknown_tool"),
        ("ValidationError: The tool send_money is not allowed.", "denied"),
        (
            "ValidationError: 1 validation error for Input schema for `pay`\namount\n  Field required",
            "invalid_arguments",
        ),
        ("ValidationError: 2 validation errors for Input schema for `pay`", "invalid_arguments"),
        ("ValidationError: 1 validation error for DynamicModel", "error"),
        ("ValueError: no such account", "error"),
    ],
)
def test_a_result_has_the_status_its_error_tells(error: str | None, status: str) -> None:
    recording = imported(run_of(asks(call("pay", {})), result("text", error), says("ok")))

    (step,) = recording.trace().tool_calls

    assert (step.status, step.result) == (status, error or "text")
    assert step.error == (error or None)
    assert recording.trace().totals.denials == (status == "denied")
    assert replay_run(recording).verdict == "same"


def test_a_refusal_in_a_user_message_is_a_denial_without_a_call() -> None:
    told = "[CALL ERROR] The function calling of send_money has been refused due to the checklist."
    recording = imported(
        run_of(says("I pay."), user(told), says("I could not."), user("[CALL ERROR] other"), says("ok"))
    )

    trace = recording.trace()

    assert [(d.step, d.tool, d.rule, d.message) for d in trace.denials] == [
        (0, "send_money", "recorded", told)
    ]
    assert trace.totals.tool_calls == 0
    assert replay_run(recording).trace is not None


def test_null_and_repeated_ids_become_unique_names() -> None:
    recording = imported(
        run_of(
            asks(call("a", {}, None), call("b", {}, None)), result("1"), result("2"),
            asks(call("c", {}, "same")), result("3"), asks(call("d", {}, "same")), result("4"), says("ok"),
        )
    )  # fmt: skip

    assert [call.id for call in recording.trace().tool_calls] == ["call#1", "call#2", "call#3", "call#4"]
    assert [call.result for call in recording.trace().tool_calls] == ["1", "2", "3", "4"]
    assert replay_run(recording).verdict == "same"


def test_what_was_not_recorded_is_null_and_the_totals_keep_what_was() -> None:
    recording = imported(run_of(asks(call("pay", {})), result("paid"), says("ok"), total_tokens=1234))

    totals = recording.trace().totals

    assert (totals.duration_s, totals.total_tokens) == (12.5, 1234)
    assert (totals.input_tokens, totals.cost_nanousd, totals.model_s, totals.tool_s) == (
        None,
        None,
        None,
        None,
    )
    assert all(item.record.at is None and item.record.duration_s is None for item in recording.interactions)
    assert recording.header.started_at is None


def test_the_task_comes_from_the_path_else_from_the_fields() -> None:
    wrapped = {
        "path": "runs/gpt-4o-drift/slack/user_task_9/attack/injection_task_2.json",
        "run": run_of(says("ok")),
    }

    by_path, by_fields = imported(wrapped).header, imported(run_of(says("ok"))).header

    assert (by_path.task, by_path.agent, by_path.models) == (
        "slack/user_task_9/attack/injection_task_2",
        "gpt-4o-drift",
        ("gpt-4o",),
    )
    assert (by_fields.task, by_fields.agent) == ("banking/user_task_1/none/none", "gpt-4o-2024-08-06-progent")
    assert (by_path.suite, by_fields.suite) == ("slack", "banking")
    assert by_fields.labels["passed"] is True


def test_conversations_are_read_where_there_are_no_messages() -> None:
    document = run_of(says("ok"))
    document["conversations"] = document.pop("messages")

    assert imported(document).trace().output == "ok"


def test_the_request_id_follows_from_source_and_content_and_the_run_id_from_the_deploy() -> None:
    one, two = imported(run_of(says("ok"))).header, imported(run_of(says("ok"))).header
    other, deployed = imported(run_of(says("no"))).header, imported(run_of(says("ok")), deploy="d1").header

    assert one.request_id == two.request_id != other.request_id
    assert deployed.request_id == one.request_id
    assert deployed.run_id != one.run_id == two.run_id


def test_redaction_comes_before_hashes_and_can_be_switched_off() -> None:
    document = run_of(asks(call("login", {"password": "hunter2"})), result("ok"), says("done"))

    clean, plain = imported(document), imported(document, redact=False)

    assert "hunter2" not in repr([item.record for item in clean.interactions])
    assert clean.trace().tool_calls[0].arguments == {"password": "<secret#1>"}
    assert clean.trace().tool_calls[0].args_hash != plain.trace().tool_calls[0].args_hash
    assert plain.trace().tool_calls[0].arguments == {"password": "hunter2"}
    assert (clean.header.redaction, plain.header.redaction) == ("default", "none")
    assert replay_run(clean).verdict == replay_run(plain).verdict == "same"


@pytest.mark.parametrize(
    "messages",
    [
        [asks(call("a", {}), call("b", {})), result("1"), says("ok")],
        [asks(call("a", {})), result("1"), result("2"), says("ok")],
        [asks(call("a", {}), call("b", {})), result("1"), user("x"), result("2"), says("ok")],
    ],
)
def test_a_conversation_the_flow_cannot_rebuild_is_assert_only(messages: list[dict[str, Any]]) -> None:
    assert imported(run_of(*messages)).header.assert_only is not None


@pytest.mark.parametrize(
    "document", [[], 1, {}, {"messages": []}, {"run": {}}, run_of({"role": "robot"}), run_of(says(1))]
)
def test_a_document_that_is_no_run_is_not_recognised(document: Any) -> None:
    assert recognise(document) is None


def made(name: str, args: dict[str, Any], text: str, error: str | None = None) -> dict[str, Any]:
    """Return a result that carries its call, as an interpreter's calls are logged."""
    return {
        "role": "tool",
        "content": text,
        "tool_call_id": "",
        "tool_call": call(name, args, None),
        "error": error,
    }


CAMEL = run_of(
    says("```python\nfor bill in read_bills(): pay(bill)\n```"),
    made("read_bills", {"year": 2024}, "two"),
    made("pay", {"bill": 1}, "", error="ValidationError: 1 validation error for Input schema"),
    user("The program failed; write another one."),
    says("```python\npay(bill=2)\n```"),
    made("pay", {"bill": 2}, "paid"),
    says("Both are paid."),
)


def test_calls_that_a_program_made_replay_and_are_calls_of_their_own() -> None:
    recording = imported(CAMEL)
    trace = recording.trace()

    assert recording.header.assert_only is None
    assert replay_run(recording).verdict == "same"
    assert [(c.name, c.arguments, c.status) for c in trace.program_calls] == [
        ("read_bills", {"year": 2024}, "ok"),
        ("pay", {"bill": 1}, "invalid_arguments"),
        ("pay", {"bill": 2}, "ok"),
    ]
    assert [len(step.program_calls) for step in trace.steps] == [2, 1, 0]


def test_calls_that_a_program_made_do_not_count_as_the_models() -> None:
    trace = imported(CAMEL).trace()

    assert (trace.totals.steps, trace.totals.tool_calls, trace.tool_calls) == (3, 0, ())


def test_a_programs_calls_are_part_of_the_traces_hash_and_of_its_document() -> None:
    trace = imported(CAMEL).trace()
    other = run_of(*CAMEL["messages"][2:-2], made("pay", {"bill": 3}, "paid"), says("Both are paid."))

    assert parse_trace(trace_json(trace)) == trace
    assert imported(other).trace().trace_hash != trace.trace_hash


def test_a_programs_calls_follow_those_the_reply_asked_for() -> None:
    recording = imported(
        run_of(asks(call("list", {})), result("one"), made("pay", {"bill": 1}, "paid"), says("Done."))
    )

    assert replay_run(recording).verdict == "same"
    assert [c.name for c in recording.trace().tool_calls] == ["list"]
    assert [c.name for c in recording.trace().program_calls] == ["pay"]
