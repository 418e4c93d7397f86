"""`goldrun record TASK`: run golden tasks against a model and write their cassettes."""

from __future__ import annotations

from pathlib import Path

from harness.cli.model_source import open_model
from harness.cli.output import say
from harness.golden.http_task import record_http_task
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import project_of
from harness.golden.record import record_task
from harness.golden.task import SUFFIX, GoldenTask
from runtime.errors import ExitCode, UsageError


def record_tasks(names: list[str], *, script: str | None, base_url: str | None, api_key_env: str) -> int:
    """Record tasks by name or file; return the exit code."""
    tasks = [_find_task(name) for name in names]
    with open_model(script, base_url, api_key_env) as model:
        for task in tasks:
            project = project_of(task.path)
            if task.http_agent is not None:
                path, run = record_http_task(task, project)
                stop, calls = run.stop_reason, run.totals.tool_calls
            else:
                path, result = record_task(task, project, model=model)
                stop, calls = result.stop_reason, result.totals.tool_calls
            shown = path.relative_to(project.root) if path.is_relative_to(project.root) else path
            say(f"recorded {task.task}: {stop}, {calls} tool calls -> {shown}")
    return ExitCode.OK


def _find_task(name: str) -> GoldenTask:
    path = Path(name)
    if name.endswith(SUFFIX):
        return load_task(path)
    path = Path("golden") / f"{name}{SUFFIX}"
    if path.is_file():
        return load_task(path)
    tasks = [load_task(p) for p in find_tasks(Path("golden"))] if Path("golden").is_dir() else []
    matches = [t for t in tasks if t.task == name]
    if not matches:
        raise UsageError(
            f"there is no golden task {name!r} below golden/",
            next_step=f"known tasks: {', '.join(sorted(t.task for t in tasks)) or 'none'}",
        )
    return matches[0]
