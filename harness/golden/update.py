"""Write new and changed baselines and list unused ones, each only on request."""

from __future__ import annotations

from pathlib import Path

from harness.golden.baseline import baseline_path, write_baseline
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import Project
from harness.golden.runner import needs_baseline, run_task_unjudged
from harness.golden.task import GoldenTask
from runtime.core.signatures import checks_arguments


@checks_arguments
def update_baseline(task: GoldenTask, project: Project, *, new: bool, changed: bool) -> bool:
    """Write a task's baseline if it is missing and `new`, or differs and `changed`; return whether it was written.

    Tasks whose rules never compare with a baseline get none.
    """
    if not needs_baseline(task):
        return False
    path = baseline_path(task.path)
    exists = path.is_file()
    if not (changed if exists else new):
        return False
    return write_baseline(path, run_task_unjudged(task, project))


def unused_baselines(project: Project) -> list[Path]:
    """Return the baseline files that no task of the project uses.

    Raises:
        TaskError: If a task file is wrong. No baseline is called unused then.
    """
    tasks = [load_task(path) for path in find_tasks(project.golden)]
    used = {baseline_path(t.path).resolve() for t in tasks if needs_baseline(t)}
    return sorted(p for p in project.golden.rglob("*.trace.json") if p.resolve() not in used)
