"""Golden task files as pytest collects them: a module with one test function each, and what its report carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.doors import real_dates

if TYPE_CHECKING:
    from harness.golden.runner import GoldenOutcome
    from harness.golden.task import GoldenTask

SUFFIX = ".golden.yaml"
_TRACE = "goldrun_trace"


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
            task = load_task(self.path, shown=_relative(self.path))
        except GoldrunError as error:
            raise self.CollectError(str(error)) from error
        yield GoldenItem.of(self, task)


class GoldenItem(pytest.Function):
    """One golden task.

    Attributes:
        golden_task: The task.
        golden_row: What its run came to; `None` where it did not run.
        golden_trace: Its judged trace as JSON text, where a report is written.
        duplicate_of: Where another task of this name stands in the project.
    """

    golden_task: GoldenTask
    golden_row: dict[str, Any] | None = None
    golden_trace: str | None = None
    duplicate_of: str | None = None

    @classmethod
    def of(cls, parent: GoldenFile, task: GoldenTask) -> GoldenItem:
        """Return the item of a task."""

        def run(request: pytest.FixtureRequest) -> None:
            _run(request.node, task)

        run.__module__ = "harness.plugin"
        # The path of the file says the suite already.
        item: GoldenItem = cls.from_parent(parent, name=task.task.rpartition("/")[2], callobj=run)
        item.golden_task = task
        item.extra_keyword_matches.add(task.task)
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
            from harness.golden.failure_report import error_text

            return error_text(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the task's file."""
        return self.path, 0, self.name


def _relative(path: Path) -> Path:
    cwd = Path.cwd()
    return path.relative_to(cwd) if path.is_relative_to(cwd) else path


def _run(item: GoldenItem, task: GoldenTask) -> None:
    from harness.errors import TaskError
    from harness.golden.pytest_suite import update_kinds

    if item.duplicate_of is not None:
        what = f"task {task.task!r} is also in {item.duplicate_of}"
        raise TaskError(what, where=task.where("task"), next_step="rename one of them")
    with real_dates():
        from harness.golden.failure_report import failure_text
        from harness.golden.project import project_of
        from harness.golden.runner import run_task

    config = item.config
    deploy = config.getoption("--deploy")
    project = project_of(item.path)
    if config.getoption("--golden-mode") == "record":
        with real_dates():
            from harness.golden.http_task import record_http_task
            from harness.golden.record import record_task, rejection_text

        if task.http_agent is not None:
            record_http_task(task, project, deploy=deploy)
        else:
            allowed = config.getoption("--golden-allow-writes") or ()
            made = record_task(task, project, deploy=deploy, allow_writes=allowed)
            if made.problems:
                raise GoldenFailure(rejection_text(made))
    _update_baseline(update_kinds(config), task, project)
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


def _update_baseline(kinds: set[str], task: GoldenTask, project: Any) -> None:
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

        item.golden_trace = trace_text(outcome)
    item.golden_row = row


def mark_duplicates(items: list[pytest.Item]) -> None:
    """Have each task fail whose name another file of its project has already."""
    from harness.golden.project import project_of

    first: dict[tuple[Path, str], GoldenItem] = {}
    for item in items:
        if isinstance(item, GoldenItem):
            key = (project_of(item.path).root, item.golden_task.task)
            other = first.setdefault(key, item)
            if other.path != item.path:
                item.duplicate_of = other.golden_task.where("task")


def attach_row(item: Any, call: pytest.CallInfo[None], report: Any) -> None:
    """Put what became of a task on its report, as plain values that cross to the controller of workers."""
    from harness.golden.summary import blank_row

    if report.when != "call" and report.outcome == "passed":
        return
    row = item.golden_row or blank_row(item.golden_task.task, "could not run")
    state = _state(item, report)
    if item.golden_row is None and call.excinfo is not None and isinstance(call.excinfo.value, GoldenFailure):
        state = "failed"  # a new recording that was rejected
    if state == "could not run" or (state == "failed" and row["state"] != "failed"):
        row = {**row, "headline": _first_line(call, state)}
    report.goldrun_row = {**row, "state": state}
    report.goldrun_trace = item.golden_trace if report.when == "call" else None


def _state(item: Any, report: Any) -> str:
    row = item.golden_row
    ran = row is not None and report.when != "setup"
    match report.outcome:
        case "failed":
            return "failed" if ran else "could not run"
        case "skipped":
            return "quarantined" if ran and row is not None and row["state"] == "quarantined" else "skipped"
        case "passed":
            return "passed"
        case other:  # a run that is repeated counts by its last attempt
            return str(other)


def _first_line(call: pytest.CallInfo[None], state: str) -> str:
    """Return the cause of an end that the rules of the task did not bring about."""
    from harness.golden.failure_report import error_text
    from runtime.errors import GoldrunError

    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, GoldrunError):
        return error_text(error).partition("\n")[0]
    if isinstance(error, GoldenFailure):
        return str(error).partition("\n")[0]
    what = "" if error is None else f": {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return f"{state}{what}"
