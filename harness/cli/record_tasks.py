"""`goldrun record TASK`: run golden tasks against a model and write their cassettes."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from harness.cli.model_source import open_model
from harness.cli.output import say, warn
from harness.errors import RecordingStopped
from harness.golden.http_task import record_http_task
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import Project, project_of
from harness.golden.record import TaskRecording, record_task, rejection_text
from harness.golden.task import SUFFIX, GoldenTask
from runtime.errors import ExitCode, UsageError

_GOLDEN = Path("golden")


def record_tasks(
    names: list[str],
    *,
    script: str | None,
    base_url: str | None,
    api_key_env: str,
    allow_writes: Collection[str] = (),
) -> int:
    """Record tasks by name, pattern, file or folder; return the exit code.

    A task whose recording is stopped or rejected keeps its cassette, and the others are recorded all the same.
    """
    tasks = [task for name in names for task in _find_tasks(name)]
    code = ExitCode.OK
    with open_model(script, base_url, api_key_env) as model:
        for task in {task.path.resolve(): task for task in tasks}.values():
            project = project_of(task.path)
            if task.http_agent is not None:
                path, run = record_http_task(task, project)
                _say_recorded(task.task, run.stop_reason, run.totals.tool_calls, path, project)
                continue
            try:
                made = record_task(task, project, model=model, allow_writes=allow_writes)
            except RecordingStopped as stopped:
                warn(f"not recorded: {stopped}")
                code = ExitCode.CHECK_FAILED
                continue
            _show(made, project)
            if made.problems:
                code = ExitCode.CHECK_FAILED
    return code


def _show(made: TaskRecording, project: Project) -> None:
    stop, calls = made.result.stop_reason, made.result.totals.tool_calls
    if made.problems:
        warn(rejection_text(made))
    elif made.status == "unchanged":
        say(f"unchanged {made.task}: {stop}, {calls} tool calls; {made.path.name} holds the same decisions")
    else:
        _say_recorded(made.task, stop, calls, made.path, project)


def _say_recorded(task: str, stop: str, calls: int, path: Path, project: Project) -> None:
    shown = path.relative_to(project.root) if path.is_relative_to(project.root) else path
    say(f"recorded {task}: {stop}, {calls} tool calls -> {shown}")


def _find_tasks(name: str) -> list[GoldenTask]:
    """Return the tasks that a file, a folder, a task's name or a pattern of names stands for."""
    if name.endswith(SUFFIX):
        return [load_task(Path(name))]
    for path in (Path(name), _GOLDEN / f"{name}{SUFFIX}", _GOLDEN / name):
        is_task = path.is_dir() or (path.is_file() and path.name.endswith(SUFFIX))
        if is_task and (files := find_tasks(path)):
            return [load_task(file) for file in files]
    known = [load_task(p) for p in find_tasks(_GOLDEN)] if _GOLDEN.is_dir() else []
    matches = [t for t in known if t.task == name or fnmatchcase(t.task, name)]
    if not matches:
        raise UsageError(
            f"there is no golden task {name!r} below golden/",
            next_step=f"known tasks: {', '.join(sorted(t.task for t in known)) or 'none'}",
        )
    return matches
