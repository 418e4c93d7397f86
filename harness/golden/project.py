"""Where a project keeps its golden tasks, cassettes and reports, and how an agent factory is loaded."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TaskError
from harness.golden.task import GoldenTask
from runtime.entry.agent import Agent

CASSETTE_SUFFIX = ".cassette.json"


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
        """Return where a task's cassette stands."""
        return self.cassettes / f"{task.cassette_name}{CASSETTE_SUFFIX}"


def project_of(path: Path) -> Project:
    """Return the project a golden task file belongs to: the folder above the nearest `golden/`.

    A file outside any `golden/` belongs to its own folder.
    """
    resolved = path.resolve()
    for parent in resolved.parents:
        if parent.name == "golden":
            return Project(parent.parent)
    return Project(resolved.parent)


def load_agent(task: GoldenTask, project: Project) -> Agent:
    """Return the agent a task names as `module:factory`.

    The project's folder is importable while the factory is loaded, as it is for pytest and the command line.

    Raises:
        TaskError: If the module or factory is missing, fails, or gives no agent.
    """
    module_name, _, factory_name = task.agent.partition(":")
    root = str(project.root)
    if root not in sys.path:
        sys.path.insert(0, root)
    where = task.where("agent")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TaskError(
            f"agent {task.agent!r} cannot be imported: {error}",
            where=where,
            next_step=f"check the module name; it is looked up from {project.root.name}/ and the Python path",
        ) from error
    factory = module
    for part in factory_name.split("."):
        factory = getattr(factory, part, None)  # type: ignore[assignment]
    if not callable(factory):
        raise TaskError(
            f"module {module_name!r} has no factory {factory_name!r}",
            where=where,
            next_step="name a function that returns a runtime.Agent",
        )
    agent = factory()
    if not isinstance(agent, Agent):
        raise TaskError(
            f"factory {task.agent!r} gave {type(agent).__name__}, not a runtime.Agent",
            where=where,
            next_step="return a runtime.Agent",
        )
    return agent
