"""`@pytest.mark.cassette` as its users have it: record an agent, judge it, change it, read one line."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

import harness.golden
import harness.lift
import harness.wire
from harness import HttpCassette
from harness.wire.pytest_support import FOLDER
from runtime.errors import UsageError
from tests.support.http_agents import ask_parcels, parcel_provider

pytest_plugins = ["pytester"]
TESTS = """
import os, pytest
from tests.support.http_agents import ask_parcels

URL = os.environ["PARCELS_URL"]

@pytest.mark.cassette
def test_judged(cassette):
    ask_parcels("Where?", URL, system=os.environ.get("PROMPT", "Help."))
    assert cassette.trace.output == "It is lost."
    cassette.check().stop_reason("finish").tools_exact("lookup", "lookup")

@pytest.mark.cassette
def test_swallowed(cassette):
    try:
        ask_parcels("Where?", URL, system=os.environ.get("PROMPT", "Help."))
    except BaseException:
        pass

class TestA:
    @pytest.mark.cassette(agent="parcels", deploy="v1")
    @pytest.mark.parametrize("name", ["a b", "a_b", "A b"])
    def test_names(self, cassette, name):
        ask_parcels(name, URL)
        assert cassette.trace.agent == "parcels"

class TestB:
    @pytest.mark.cassette
    def test_names(self, cassette):
        ask_parcels("other", URL)
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load what a run loads: pytester forgets the modules that a run was the first to load."""
    for room in (harness.golden, harness.wire, harness.lift):
        for found in pkgutil.iter_modules(room.__path__):
            importlib.import_module(f"{room.__name__}.{found.name}")
    for name in ("yaml", "httpcore", "httpx"):
        importlib.import_module(name)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the tests in this process; the first time while the provider is there."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    pytester.makepyfile(test_agent=TESTS)

    def run_pytest(*arguments: str, **environment: str) -> pytest.RunResult:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "--strict-markers", *arguments)

    with parcel_provider() as url:
        recorded = run_pytest("--golden-mode=record", PARCELS_URL=url)
    recorded.assert_outcomes(passed=6)
    return run_pytest


def test_recorded_tests_replay_without_the_provider(run: Run) -> None:
    run().assert_outcomes(passed=6)


def test_each_test_has_a_recording_of_its_own(run: Run, pytester: pytest.Pytester) -> None:
    files = sorted(path.name for path in (pytester.path / FOLDER / "test_agent").iterdir())

    assert len({name.lower() for name in files}) == 6
    assert {"test_judged.jsonl", "TestB.test_names.jsonl", "TestA.test_names~5ba_b~5d.jsonl"} <= set(files)


def test_a_changed_prompt_is_one_report_a_test_with_the_cause_first(run: Run) -> None:
    changed = run(PROMPT="Help. Be brief.")

    changed.assert_outcomes(passed=4, failed=2)
    changed.stdout.fnmatch_lines(
        [
            "*test_judged*",
            "cause: prompt: $.messages[[]0].content: 'Help.' -> 'Help. Be brief.'; POST *(call 1)",
            "  next: *--golden-mode=record",
        ]
    )
    changed.stdout.no_fnmatch_line("*httpx*")
    changed.stdout.no_fnmatch_line("*ERROR*")


def test_a_rule_that_nobody_verified_fails_the_test(run: Run, pytester: pytest.Pytester) -> None:
    path = pytester.path / "test_agent.py"
    path.write_text(path.read_text().replace('tools_exact("lookup", "lookup")', 'tools_exact("lookup")'))

    failed = run("-k", "judged")

    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*tools.calls*", "*1 too many: lookup*"])


def test_a_recording_of_an_earlier_version_is_found_under_its_old_name(
    run: Run, pytester: pytest.Pytester
) -> None:
    folder = pytester.path / FOLDER / "test_agent"
    (folder / "TestB.test_names.jsonl").rename(folder / "test_names.jsonl")

    run("-k", "TestB").assert_outcomes(passed=1)


def test_a_test_that_fails_by_itself_keeps_its_own_report(run: Run, pytester: pytest.Pytester) -> None:
    path = pytester.path / "test_agent.py"
    path.write_text(path.read_text().replace('== "It is lost."', '== "Found."'))

    failed = run("-k", "judged")

    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["E *assert 'It is lost.' == 'Found.'*"])


def test_a_cassette_tells_of_its_runs_while_recording_and_in_replay(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with parcel_provider() as url, HttpCassette(path, mode="record") as recording:
        ask_parcels("One?", url)
        first = recording.trace
        ask_parcels("Two?", url)
        with pytest.raises(UsageError, match="2 conversations"):
            _ = recording.trace
    with HttpCassette(path, mode="replay") as replay:
        ask_parcels("One?", url)
        assert replay.trace == first
        ask_parcels("Two?", url)

        assert replay.traces == recording.traces
        assert replay.cost is None  # nobody knows what a provider on loopback costs


def test_a_cassette_without_traffic_says_so(tmp_path: Path) -> None:
    with (
        pytest.warns(RuntimeWarning, match="nothing was recorded"),
        HttpCassette(tmp_path / "a") as cassette,
        pytest.raises(UsageError, match="0 conversations"),
    ):
        _ = cassette.trace
