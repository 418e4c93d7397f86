"""The folders of a project (golden tasks, cassettes, reports), and the loading of a task's agent."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TaskError
from harness.golden.load_code import build_agent, importable
from harness.golden.rules.matchers import shown
from harness.golden.task import GoldenTask
from runtime.entry.agent import Agent

CASSETTE_SUFFIX = ".cassette.json"
HTTP_SUFFIX = ".jsonl"
"""Of the cassettes of agents that are recorded over HTTP."""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder that holds `golden/`, `cassettes/` and `reports/`.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def golden(self) -> Path:
        """Folder of golden tasks."""
        return self.root / "golden"

    @property
    def cassettes(self) -> Path:
        """Folder of cassettes."""
        return self.root / "cassettes"

    @property
    def history(self) -> Path:
        """Folder of the Parquet history."""
        return self.root / "reports" / "history"

    def cassette_path(self, task: GoldenTask) -> Path:
        """Return the path of a task's cassette."""
        suffix = CASSETTE_SUFFIX if task.http_agent is None else HTTP_SUFFIX
        return self.cassettes / f"{task.cassette_name}{suffix}"


def project_of(path: Path) -> Project:
    """Return the project of a golden task file: the folder above the nearest `golden/`.

    A file outside any `golden/` has its own folder as project.
    """
    resolved = path.resolve()
    for parent in resolved.parents:
        if parent.name == "golden":
            return Project(parent.parent)
    return Project(resolved.parent)


def load_agent(task: GoldenTask, project: Project) -> Agent:
    """Return the agent that a task names as `module:factory`.

    Callers that run the agent hold `importable(project.root)` around it.

    Raises:
        TaskError: If the module or factory is missing, exits, raises or prints, or returns no agent.
    """
    printed = io.StringIO()
    with importable(project.root), redirect_stdout(printed):
        agent = build_agent(task.factory, where=task.where("agent"), error=TaskError)
    if printed.getvalue():
        raise TaskError(
            f"the factory {task.factory!r} printed {shown(printed.getvalue())}",
            where=task.where("agent"),
            next_step="log to stderr instead: standard output is where commands write their results",
        )
    return agent
