"""What cannot answer a run is refused before it begins, with its name and what it should be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from harness import Recorder
from runtime import Agent, UsageError, run_agent
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import GrantAll, RamControlStore, ScriptedModel

AGENT = Agent(name="clerk", model="m1")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("model", "gpt-4", r"model is 'gpt-4', not an object with call\(\), aclose\(\)"),
        ("governor", BlockingControlStore(RamControlStore()), r"Governor\(store\)"),
        ("state", "folder", r"state is 'folder', not an object with bind\(\)"),
        ("prices", {}, r"prices is \{\}"),
        ("clock", time, "clock is "),
        ("inputs", ["more"], r"inputs is \['more'\]"),
        ("observer", print, "observer is "),
        ("artifacts", {}, r"artifacts is \{\}"),
        ("audit", [], r"audit is \[\], not a function"),
        ("desk", GrantAll, "desk is "),
        ("wrap", Recorder("runs.jsonl"), r"recorder\.wrap"),
    ],
)
def test_a_wrong_argument_is_the_callers_mistake(name: str, value: Any, wanted: str) -> None:
    arguments: dict[str, Any] = {"model": ScriptedModel(["hi"]), name: value}

    with pytest.raises(UsageError, match=wanted):
        run_agent(AGENT, "hi", **arguments)


def test_all_wrong_arguments_are_named_at_once() -> None:
    wrong: dict[str, Any] = {"desk": 1, "inputs": 2}

    with pytest.raises(UsageError, match=r"desk is 1.*inputs is 2"):
        run_agent(AGENT, "hi", model=ScriptedModel(["hi"]), **wrong)


def test_a_wrapper_that_gives_nothing_back_is_the_callers_mistake() -> None:
    forgets: Any = lambda inner: None  # noqa: E731 - what a wrapper without `return` gives

    with pytest.raises(UsageError, match="wrap gave None"):
        run_agent(AGENT, "hi", model=ScriptedModel(["hi"]), wrap=forgets)


def test_a_recorder_still_wraps_a_run(tmp_path: Path) -> None:
    with Recorder(tmp_path / "runs.jsonl") as recorder:
        result = run_agent(AGENT, "hi", model=ScriptedModel(["ho"]), wrap=recorder.wrap)

    assert result.output == "ho"
