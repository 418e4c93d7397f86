"""`goldrun record`: run golden tasks against a model and write their cassettes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cli.output import say
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import project_of
from harness.golden.record import record_task
from harness.golden.task import SUFFIX, GoldenTask
from runtime.errors import ExitCode, UsageError
from runtime.ports.models import ModelPort


def record_tasks(names: list[str], *, script: str | None, base_url: str | None, api_key_env: str) -> int:
    """Record tasks by name or file; return the exit code."""
    tasks = [_task(name) for name in names]
    with model_from(script, base_url, api_key_env) as model:
        for task in tasks:
            project = project_of(task.path)
            path, result = record_task(task, project, model=model)
            shown = path.relative_to(project.root) if path.is_relative_to(project.root) else path
            say(
                f"recorded {task.task}: {result.stop_reason}, {result.totals.tool_calls} tool calls -> {shown}"
            )
    return ExitCode.OK


def _task(name: str) -> GoldenTask:
    path = Path(name)
    if name.endswith(SUFFIX):
        return load_task(path)
    path = Path("golden") / f"{name}{SUFFIX}"
    if path.is_file():
        return load_task(path)
    known = [load_task(p) for p in find_tasks(Path("golden"))] if Path("golden").is_dir() else []
    found = [t for t in known if t.task == name]
    if not found:
        raise UsageError(
            f"there is no golden task {name!r} below golden/",
            next_step=f"known tasks: {', '.join(sorted(t.task for t in known)) or 'none'}",
        )
    return found[0]


@contextmanager
def model_from(script: str | None, base_url: str | None, api_key_env: str) -> Iterator[ModelPort | None]:
    """Give the model that answers: a policy on loopback, an endpoint, or the agent's own client."""
    from runtime.models.openai_chat import OpenAIChat
    from runtime.testing.loopback import LoopbackProvider

    if script is not None:
        module, _, name = script.partition(":")
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            policy = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"--script {script!r} cannot be loaded: {error}") from error
        with LoopbackProvider(policy) as provider:
            yield OpenAIChat(base_url=provider.base_url)
    elif base_url is not None:
        yield OpenAIChat(base_url=base_url, api_key=os.environ.get(api_key_env))
    else:
        yield None
