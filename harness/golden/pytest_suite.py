"""What the controller of a pytest run gathers of golden tasks, and prints at the end.

Every collected task is counted once, by the report of its last attempt: also one that failed before it ran, whose
file was wrong, or that was never reached. Failures of one cause are shown once, with the list of their tasks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

SUFFIX = ".golden.yaml"
_SEVERITY = ("not run", "passed", "skipped", "quarantined", "could not run", "failed")


def update_kinds(config: pytest.Config) -> set[str]:
    """Return which baselines are to be written."""
    return {k.strip() for k in str(config.getoption("--golden-update")).split(",") if k.strip()}


def collected_tasks(session: pytest.Session) -> dict[str, str]:
    """Return the golden tasks of a session by node id."""
    named = ((item.nodeid, getattr(item, "golden_task", None)) for item in getattr(session, "items", ()))
    return {nodeid: task.task for nodeid, task in named if task is not None}


class SuiteReport:
    """Gathers rows on the controller, with or without workers, and writes the summary and the report."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tasks: dict[str, str] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._workers: dict[str, Any] = {}
        self._traces: dict[str, str] = {}
        self._hidden: list[Any] = []

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each task that was collected or failed to be."""
        from harness.golden.summary import blank_row

        missed = {n: blank_row(task, "not run") for n, task in self._tasks.items() if n not in self._rows}
        return [*self._rows.values(), *missed.values()]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep a task's row; another worker's report of it counts if it is worse."""
        row = getattr(report, "goldrun_row", None)
        if row is None or row["state"] not in _SEVERITY:
            return
        worker = getattr(report, "worker_id", None)
        before = self._rows.get(report.nodeid)
        again = before is not None and (report.when == "teardown" or worker != self._workers[report.nodeid])
        if again and _SEVERITY.index(row["state"]) < _SEVERITY.index(self._rows[report.nodeid]["state"]):
            return
        self._rows[report.nodeid] = row
        self._workers[report.nodeid] = worker
        if report.goldrun_trace is not None:
            self._traces[report.nodeid] = report.goldrun_trace

    def pytest_collectreport(self, report: Any) -> None:
        """Count a task file that could not be read."""
        if report.failed and report.nodeid.endswith(SUFFIX):
            from harness.golden.summary import blank_row

            text = str(report.longrepr).strip().partition("\n")[0]
            self._rows[report.nodeid] = blank_row(report.nodeid, "could not run", f"could not run: {text}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep which tasks there are."""
        self._tasks.update(collected_tasks(session))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Keep which tasks a worker collected."""
        self._tasks.update(getattr(node, "workeroutput", {}).get("goldrun_tasks", {}))

    @property
    def traces(self) -> list[str]:
        """The judged traces of the tasks that ran, as JSON texts; where a report is written."""
        return [*self._traces.values()]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remove unused baselines, once, in the controller."""
        if self._rows and "unused" in update_kinds(self._config):
            _remove_unused(session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, Any, Any]:
        """Show one failure of each cause in full, the one that says most; `-vv` shows them all."""
        if self._config.get_verbosity() < 2:
            self._hide_repeated(terminalreporter)
        return (yield)

    def _hide_repeated(self, terminalreporter: Any) -> None:
        """Take failures out of the list that is printed in full; `restore` puts them back for the counts."""
        failed = terminalreporter.stats.get("failed", [])
        fullest: dict[str, Any] = {}
        for report in failed:
            row = getattr(report, "goldrun_row", None)
            if row is not None:
                best = fullest.setdefault(row["headline"], report)
                if len(str(report.longrepr)) > len(str(best.longrepr)):
                    fullest[row["headline"]] = report
        kept = set(map(id, fullest.values()))
        shown = [r for r in failed if getattr(r, "goldrun_row", None) is None or id(r) in kept]
        if len(shown) < len(failed):
            self._hidden = list(failed)
            terminalreporter.stats["failed"] = shown

    def restore(self, terminalreporter: Any) -> None:
        """Put back the failures that were not printed, so that the last lines count and name them."""
        if self._hidden:
            terminalreporter.stats["failed"] = self._hidden
            self._hidden = []

    def write(self, terminalreporter: Any) -> None:
        """Print the verdict line, the failures by cause, and the tasks that changed."""
        if not self._rows and not self._tasks:
            return
        from harness.golden.summary import summary_lines

        terminalreporter.section("golden tasks")
        for line in summary_lines(self.rows, width=terminalreporter._tw.fullwidth):  # noqa: SLF001 - no public width
            terminalreporter.write_line(line)
        directory = self._config.getoption("--golden-report")
        if directory:
            terminalreporter.write_line(f"report: {directory}")


def _remove_unused(session: pytest.Session) -> None:
    from harness.golden.project import project_of
    from harness.golden.update import unused_baselines

    for project in {project_of(i.path) for i in session.items if hasattr(i, "golden_task")}:
        for path in unused_baselines(project):
            path.unlink()
