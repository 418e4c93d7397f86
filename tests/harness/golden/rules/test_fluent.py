"""The rules in Python: same names, same engine, all failures at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.golden.rules.expect import Expect
from harness.golden.rules.fluent import TraceCheck, check, forget_unverified
from runtime.core.trace import Trace
from runtime.errors import UsageError

MakeTrace = Callable[..., Trace]
SEARCH, CREATE = ("kb.search", {"q": "8812"}), ("ticket.create", {"order": "8812"})


def test_a_good_run_verifies(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [("ticket.create", {"order": "8812"}, {"approval": "granted"})])

    checked = (
        check(trace, baseline=trace)
        .stop_reason("finish", "max_*")
        .tools_exact("kb.search", {"tool": "ticket.create", "args": {"order": {"regex": "^88"}}})
        .tools_in_order("kb.search", "ticket.create")
        .tools_any_order("ticket.create", "kb.search")
        .tools_subset("ticket.create", "kb.search", "mail.send")
        .tools_superset("ticket.create")
        .never("shell.exec")
        .before("kb.search", "ticket.create")
        .at_most_once("ticket.create")
        .approvals("ticket.create", "granted")
        .counts(tool_calls=2, retries={"max": 0})
        .loop_free()
        .cost(max_usd=0.1, vs_baseline={"max_ratio": 1.0})
        .tokens(total={"max": 1000})
        .output(contains="refund")
        .trace()
    )
    checked.verify()

    assert checked.failures == []


def test_all_failures_are_listed_with_the_line_of_the_rule(make_trace: MakeTrace) -> None:
    checked = check(make_trace([SEARCH])).stop_reason("max_steps").never("kb.search").counts(tool_calls=0)

    with pytest.raises(AssertionError) as caught:
        checked.verify()

    text = str(caught.value)
    assert text.startswith("3 rules do not hold\n")
    for rule in ("stop_reason", "never[0]", "counts.tool_calls"):
        assert rule in text
    assert "test_fluent.py:" in text


def test_a_with_block_verifies_at_its_end(make_trace: MakeTrace) -> None:
    with pytest.raises(AssertionError, match="1 rule does not hold"), check(make_trace([SEARCH])) as run:
        run.never("kb.search")


def test_a_failing_block_keeps_its_own_error(make_trace: MakeTrace) -> None:
    run = check(make_trace([SEARCH])).never("kb.search")

    with pytest.raises(ZeroDivisionError), run:
        raise ZeroDivisionError


def test_a_wrong_rule_is_told_at_once(make_trace: MakeTrace) -> None:
    checked = check(make_trace([SEARCH]))

    with pytest.raises(UsageError, match="did you mean 'finish'"):
        checked.stop_reason("finsih")
    with pytest.raises(UsageError, match="tool_cals"):
        checked.counts(tool_cals=1)


def test_a_check_that_is_never_verified_warns_outside_of_tests(
    make_trace: MakeTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = [check(make_trace([SEARCH])).never("shell.exec")]
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    with pytest.warns(ResourceWarning, match="never verified"):
        checked.clear()
    forget_unverified()


def test_each_rule_of_a_task_file_has_its_method() -> None:
    assert {name for name in Expect.model_fields if not hasattr(TraceCheck, name)} == set()
