"""The pytest plugin: collects `*.golden.yaml` as test functions.

Rules.
1. It is light: everything heavy loads with the first task or fixture that needs it.
2. A fixture or an item may start while the clock is frozen, so what loads there loads under `real_dates`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.doors import real_dates

if TYPE_CHECKING:
    from harness.golden.runner import GoldenOutcome
    from harness.golden.task import GoldenTask

SUFFIX = ".golden.yaml"
_ROWS = pytest.StashKey[list[dict[str, Any]]]()
_OUTCOMES = pytest.StashKey[list[Any]]()
_PROPERTY = "goldrun"


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
    """Keep a place for outcomes."""
    config.addinivalue_line(
        "markers",
        "cassette(name=None, **settings): record or replay the HTTP traffic of the test; settings as of "
        "harness.record_http",
    )
    config.addinivalue_line(
        "markers", "frozen_clock(moment): freeze the clock of the test there, with the fixture of this name"
    )
    config.stash[_ROWS] = []
    config.stash[_OUTCOMES] = []
    if config.getoption("--golden-mode") == "record" and os.environ.get("CI"):
        raise pytest.UsageError(
            "--golden-mode=record is refused where CI is set: record on your machine and review"
        )
    unknown = _update_kinds(config) - {"new", "changed", "unused"}
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
        problem = _cassette_problem(item)
        if problem is None:
            return result
    pytest.fail(problem, pytrace=False)


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
def golden(request: pytest.FixtureRequest) -> Callable[[str], GoldenOutcome]:
    """Give a function that runs a golden task by its file; check its `outcome.trace` with `harness.check`."""
    with real_dates():
        from harness.golden.loader import load_task
        from harness.golden.project import project_of
        from harness.golden.runner import run_task

    def run(path: str) -> GoldenOutcome:
        file = (request.config.rootpath / path).resolve()
        return run_task(load_task(file), project_of(file), deploy=request.config.getoption("--deploy"))

    return run


def _update_kinds(config: pytest.Config) -> set[str]:
    return {k.strip() for k in str(config.getoption("--golden-update")).split(",") if k.strip()}


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> GoldenFile | None:
    """Collect golden task files."""
    if not file_path.name.endswith(SUFFIX):
        return None
    return GoldenFile.from_parent(parent, path=file_path)


class GoldenFailure(Exception):
    """A golden task failed; the text is one screen for people."""


class GoldenFile(pytest.Module):
    """One golden task file: a module of one test function, so fixtures, marks and plugins work."""

    def _getobj(self) -> Any:
        # A module object of its own: pytest looks for fixtures, marks and setup functions in it.
        import types

        return types.ModuleType(self.path.name.removesuffix(SUFFIX).replace("-", "_"))

    def _importtestmodule(self) -> Any:
        return self._getobj()

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the task's test function, named as the task."""
        from harness.golden.loader import load_task
        from runtime.errors import GoldrunError

        try:
            task = load_task(_relative(self.path))
        except GoldrunError as error:
            raise self.CollectError(str(error)) from error
        yield GoldenItem.of(self, task)


class GoldenItem(pytest.Function):
    """One golden task."""

    @classmethod
    def of(cls, parent: GoldenFile, task: GoldenTask) -> GoldenItem:
        """Return the item of a task."""

        def run(request: pytest.FixtureRequest) -> None:
            _run(request.node, task)

        run.__module__ = "harness.plugin"
        item: GoldenItem = cls.from_parent(parent, name=task.task, callobj=run)
        for tag in task.tags:
            parent.config.addinivalue_line("markers", f"{tag}: tag of golden tasks")
            item.add_marker(tag)
        return item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a failed task as its own text, without a traceback."""
        if isinstance(excinfo.value, GoldenFailure):
            return str(excinfo.value)
        from runtime.errors import GoldrunError

        if isinstance(excinfo.value, GoldrunError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the task's file."""
        return self.path, 0, self.name


def _relative(path: Path) -> Path:
    cwd = Path.cwd()
    return path.relative_to(cwd) if path.is_relative_to(cwd) else path


def _run(item: GoldenItem, task: GoldenTask) -> None:
    with real_dates():
        from harness.golden.project import project_of
        from harness.golden.runner import failure_text, run_task

    config = item.config
    deploy = config.getoption("--deploy")
    project = project_of(item.path)
    if config.getoption("--golden-mode") == "record":
        with real_dates():
            from harness.golden.record import record_task, rejection_text

        made = record_task(
            task, project, deploy=deploy, allow_writes=config.getoption("--golden-allow-writes")
        )
        if made.problems:
            raise GoldenFailure(rejection_text(made))
    _update_baseline(config, task, project)
    outcome = run_task(task, project, deploy=deploy)
    _keep(item, outcome)
    if outcome.passed:
        return
    if outcome.quarantined and task.quarantine is not None:
        owner, until = task.quarantine.owner, task.quarantine.until
        pytest.xfail(
            f"quarantined by {owner} until {until}: {task.quarantine.reason}\n{failure_text(outcome)}"
        )
    raise GoldenFailure(failure_text(outcome))


def _update_baseline(config: pytest.Config, task: GoldenTask, project: Any) -> None:
    kinds = _update_kinds(config)
    if kinds & {"new", "changed"}:
        with real_dates():
            from harness.golden.update import update_baseline

        update_baseline(task, project, new="new" in kinds, changed="changed" in kinds)


def _keep(item: GoldenItem, outcome: GoldenOutcome) -> None:
    """Attach the outcome to the report: JUnit properties, and a row that survives xdist."""
    with real_dates():
        from harness.golden.summary import summary_row

    row = summary_row(outcome)
    item.user_properties += [
        ("stop_reason", row["stop_reason"]),
        ("tool_calls", row["tool_calls"]),
        ("cost_usd", row["cost_usd"] or "unknown"),
        ("total_tokens", "unknown" if row["total_tokens"] is None else row["total_tokens"]),
    ]
    if item.config.getoption("--golden-report"):
        from harness.golden.summary import trace_text

        item.user_properties.append((_PROPERTY + "_trace", trace_text(outcome)))
    item.stash[_ROW] = row


_ROW = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Carry the task's row on the report of its call."""
    report = yield
    if report.when == "call" and _ROW in item.stash:
        report.goldrun_row = item.stash[_ROW]
        traces = [v for name, v in item.user_properties if name == _PROPERTY + "_trace"]
        report.goldrun_trace = traces[0] if traces else None
        report.user_properties = [p for p in report.user_properties if not p[0].startswith(_PROPERTY)]
    return report


class _Collector:
    """Gathers rows on the controller, with or without xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: Any) -> None:
        row = getattr(report, "goldrun_row", None)
        if row is not None:
            self._config.stash[_ROWS].append({**row, "outcome": report.outcome})
            if getattr(report, "goldrun_trace", None):
                self._config.stash[_OUTCOMES].append(report.goldrun_trace)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Gather rows where the reports arrive: in the controller."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Collector(session.config), "goldrun-collector")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report and remove unused baselines, once, in the controller."""
    config = session.config
    if hasattr(config, "workerinput") or not config.stash[_ROWS]:
        return
    if "unused" in _update_kinds(config):
        _remove_unused(session)
    directory = config.getoption("--golden-report")
    if directory:
        from harness.golden.summary import traces_of
        from harness.reports.history import ingest

        traces = traces_of(config.stash[_OUTCOMES])
        ingest(
            traces, deploy=config.getoption("--deploy") or "unlabelled", history=Path(directory) / "history"
        )


def _remove_unused(session: pytest.Session) -> None:
    from harness.golden.project import project_of
    from harness.golden.update import unused_baselines

    projects = {project_of(i.path) for i in session.items if isinstance(i, GoldenItem)}
    for project in projects:
        for path in unused_baselines(project):
            path.unlink()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print one verdict line and the tasks whose stop reason, calls or cost changed."""
    rows = config.stash[_ROWS]
    if not rows:
        return
    from harness.golden.summary import summary_lines

    terminalreporter.section("golden tasks")
    for line in summary_lines(rows):
        terminalreporter.write_line(line)
    directory = config.getoption("--golden-report")
    if directory:
        terminalreporter.write_line(f"report: {directory}")
