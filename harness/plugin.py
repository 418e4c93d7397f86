"""The pytest plugin: collects `*.golden.yaml` as test functions.

Rules.
1. It is light: everything heavy loads with the first task or fixture that needs it.
2. A fixture or an item may start while the clock is frozen, so what loads there loads under `real_dates`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.doors import real_dates

if TYPE_CHECKING:
    from harness.golden.runner import GoldenOutcome

SUFFIX = ".golden.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of golden tasks."""
    group = parser.getgroup("golden", "golden tasks (goldrun)")
    group.addoption(
        "--golden-mode",
        choices=["replay", "record"],
        default="replay",
        help="replay answers from cassettes (default); record runs the agents and writes new cassettes",
    )
    group.addoption(
        "--golden-allow-writes",
        action="append",
        default=[],
        metavar="TOOL",
        help="while recording, carry out the writes of this tool (* for each); others the old cassette answers",
    )
    group.addoption(
        "--golden-update",
        default="",
        metavar="KINDS",
        help="write baseline traces: a comma-separated choice of new, changed, unused",
    )
    group.addoption(
        "--golden-report", metavar="DIR", help="write outcomes as rows of a history and a summary"
    )
    group.addoption("--deploy", metavar="LABEL", help="version label of this run in reports")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and check the options."""
    config.addinivalue_line(
        "markers",
        "cassette(name=None, **settings): record or replay the HTTP traffic of the test; settings as of "
        "harness.record_http",
    )
    config.addinivalue_line(
        "markers", "frozen_clock(moment): freeze the clock of the test there, with the fixture of this name"
    )
    if config.getoption("--golden-mode") == "record" and os.environ.get("CI"):
        raise pytest.UsageError(
            "--golden-mode=record is refused where CI is set: record on your machine and review"
        )
    from harness.golden.pytest_suite import update_kinds

    unknown = update_kinds(config) - {"new", "changed", "unused"}
    if unknown:
        raise pytest.UsageError(f"--golden-update knows new, changed and unused, not {min(unknown)!r}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests marked `cassette` or `frozen_clock` use the fixture, named or not."""
    # The clock last: it is put in front, so that what a cassette records is timed by it.
    for marker in ("cassette", "frozen_clock"):
        if any(item.get_closest_marker(marker) is not None for item in items):
            from harness.wire.pytest_support import request_fixture

            request_fixture(items, marker)
    if any(getattr(item, "golden_task", None) is not None for item in items):
        from harness.golden.pytest_items import mark_duplicates

        mark_duplicates(items)


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Record or replay the HTTP traffic of the test; gives a `harness.HttpCassette`: `trace`, `check()`, `cost`.

    Recordings stand below `cassettes/http/`. They are replayed; `--golden-mode=record` records them.
    """
    with real_dates():
        from harness.golden.http_cassette import HttpCassette
        from harness.wire.pytest_support import cassette_session

    record = request.config.getoption("--golden-mode") == "record"
    yield from cassette_session(request, record=record, make=HttpCassette)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a test fail of what its cassette missed, in one report of a few lines, whatever the client raised of it."""
    problem = None
    try:
        result = yield
    except BaseException as error:
        problem = _cassette_problem(item)
        # A test that was left for another reason, or stopped by a key, keeps its own end.
        if problem is None or isinstance(error, KeyboardInterrupt | pytest.skip.Exception):
            raise
    else:
        problem = _cassette_problem(item) or _unverified(item)
        if problem is None:
            return result
    finally:
        _forget_checks()
    pytest.fail(problem, pytrace=False)


def _unverified(item: pytest.Item) -> str | None:
    """Return what the test's own `check()` objects found and nobody verified; `None` where nothing is open."""
    rules = sys.modules.get("harness.golden.rules.fluent")
    return None if rules is None else rules.unverified_text()


def _forget_checks() -> None:
    rules = sys.modules.get("harness.golden.rules.fluent")
    if rules is not None:
        rules.forget_unverified()


def _cassette_problem(item: pytest.Item) -> str | None:
    if "cassette" not in getattr(item, "fixturenames", ()):
        return None
    from harness.golden.http_cassette import HttpCassette
    from harness.wire.pytest_support import REPORTED, SESSION

    session = item.stash.get(SESSION, None)
    problem = session.problem() if isinstance(session, HttpCassette) else None
    item.stash[REPORTED] = problem is not None
    return problem


@pytest.fixture
def frozen_clock(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Freeze the clock for the test; gives freezegun's clock, with `tick(seconds)` and `move_to(moment)`.

    It stands at 2026-01-01T00:00:00Z, or where `@pytest.mark.frozen_clock("2026-11-28T09:00:00Z")` says. Timers of
    asyncio run on.
    """
    from harness.snapshots.frozen import MOMENT, frozen

    marker = request.node.get_closest_marker("frozen_clock")
    with frozen(marker.args[0] if marker is not None and marker.args else MOMENT) as clock:
        yield clock


if find_spec("syrupy") is not None:

    @pytest.fixture(name="trace_snapshot")
    def _trace_snapshot(snapshot: Any) -> Any:
        """Give syrupy's `snapshot` for runs: `assert run_agent(...) == trace_snapshot`.

        Snapshots are stored in `__traces__/` beside the test; syrupy's options (`--snapshot-update`) write them.
        """
        with real_dates():
            from harness.snapshots.traces import TraceSnapshotExtension

        return snapshot.use_extension(TraceSnapshotExtension)

else:  # another plugin's `snapshot` would be of no use

    @pytest.fixture
    def trace_snapshot() -> Any:
        """Say what is missing."""
        from runtime.errors import UsageError

        raise UsageError(
            "syrupy is not installed", where="trace_snapshot", next_step="pip install 'goldrun[harness]'"
        )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., GoldenOutcome]:
    """Give a function that runs a golden task by its file: `golden("golden/shop/a.golden.yaml")`.

    The test fails if the task does. `golden(path, judge=False)` gives the outcome of a failed task too.
    """
    with real_dates():
        from harness.golden.failure_report import failure_text
        from harness.golden.loader import load_task
        from harness.golden.project import project_of
        from harness.golden.runner import run_task

    def run(path: str, *, judge: bool = True) -> GoldenOutcome:
        file = (request.config.rootpath / path).resolve()
        outcome = run_task(load_task(file), project_of(file), deploy=request.config.getoption("--deploy"))
        if judge and not outcome.passed:
            pytest.fail(failure_text(outcome), pytrace=False)
        return outcome

    return run


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect golden task files."""
    if not file_path.name.endswith(SUFFIX):
        return None
    from harness.golden.pytest_items import GoldenFile

    return GoldenFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Carry what became of a golden task on its report."""
    report = yield
    if getattr(item, "golden_task", None) is not None:
        from harness.golden.pytest_items import attach_row

        attach_row(item, call, report)
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    """Gather rows where the reports arrive: in the controller."""
    from harness.golden.pytest_suite import SuiteReport

    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(SuiteReport(session.config), "goldrun-suite")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller of a worker which tasks it collected; write the report in the controller."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        from harness.golden.pytest_suite import collected_tasks

        output["goldrun_tasks"] = collected_tasks(session)
    suite: Any = session.config.pluginmanager.get_plugin("goldrun-suite")
    directory = session.config.getoption("--golden-report")
    if suite is not None and suite.traces and directory:
        from harness.golden.summary import traces_of
        from harness.reports.history import ingest

        deploy = session.config.getoption("--deploy") or "unlabelled"
        ingest(traces_of(suite.traces), deploy=deploy, history=Path(directory) / "history")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the verdict line of the golden tasks, and their failures by cause."""
    suite = config.pluginmanager.get_plugin("goldrun-suite")
    if suite is not None:
        suite.restore(terminalreporter)
        suite.write(terminalreporter)
