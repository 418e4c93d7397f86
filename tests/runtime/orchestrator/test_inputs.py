"""Recorded inputs: a reply without calls does not end the run; the input says so."""

from __future__ import annotations

from runtime.core.effects import Denial, Input, InputReply
from runtime.core.messages import user_message
from runtime.core.policy import Budget
from tests.support.playbook import Playbook, asks, failed, header

TALK = header(inputs="recorded")


def test_input_is_asked_for_after_each_step_and_goes_on_the_conversation() -> None:
    more = InputReply(messages=(user_message("and another?"),))
    book = Playbook(["first", asks("look"), "second"], inputs=[more, InputReply(), InputReply(end="finish")])

    finished = book.run(TALK)

    assert (finished.end.stop_reason, finished.end.output) == ("finish", "second")
    assert [e.lane for e in book.seen if isinstance(e, Input)] == ["0.input/1", "1.input/1", "2.input/1"]
    assert [m.role for m in book.requests[-1].request.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
    ]


def test_without_recorded_inputs_none_are_asked_for() -> None:
    book = Playbook(["done"])

    book.run()

    assert "Input" not in book.kinds()


def test_the_input_says_how_the_run_ends() -> None:
    finished = Playbook(["hm"], inputs=[InputReply(end="open")]).run(TALK)

    assert (finished.end.stop_reason, finished.end.output) == ("open", None)


def test_refusals_of_a_recorded_guard_reach_the_trace() -> None:
    denial = Denial(tool="pay", rule="recorded", message="refused", lane="0.input/1", step=0)
    told = InputReply(messages=(user_message("[CALL ERROR] refused"),), denials=(denial,))

    finished = Playbook(["let me pay", "done"], inputs=[told]).run(TALK)

    assert [(d.tool, d.rule) for d in finished.trace.denials] == [("pay", "recorded")]
    assert finished.end.totals.denials == 1


def test_an_interrupted_input_ends_the_run_with_its_cause() -> None:
    finished = Playbook(["hm"], inputs=[failed("interrupted", cause="kill")]).run(TALK)

    assert finished.end.stop_reason == "operator_kill"


def test_the_step_limit_holds_in_a_conversation_too() -> None:
    book = Playbook(["a", "b", "c"], inputs=[InputReply(messages=(user_message("go on"),))] * 9)

    finished = book.run(header(inputs="recorded", budget=Budget(max_steps=2)))

    assert finished.end.stop_reason == "max_steps"
    assert len(book.requests) == 2
