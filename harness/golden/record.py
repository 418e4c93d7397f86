"""Record a golden task: run its agent once with real calls and write the cassette."""

from __future__ import annotations

from pathlib import Path

from harness.cassette.golden_cassette import write_cassette
from harness.errors import TaskError
from harness.golden.load_code import importable
from harness.golden.project import Project, load_agent
from harness.golden.runner import request_of
from harness.golden.task import GoldenTask
from harness.record.recorder import memory_wrap
from runtime.core.signatures import checks_arguments
from runtime.entry.run import RunResult, run_agent
from runtime.errors import GoldrunError
from runtime.ports.models import ModelPort
from runtime.ports.prices import RateSource
from runtime.testing.desks import GrantAll


@checks_arguments
def record_task(
    task: GoldenTask,
    project: Project,
    *,
    model: ModelPort | None = None,
    prices: RateSource | None = None,
    deploy: str | None = None,
) -> tuple[Path, RunResult]:
    """Run a task's agent and write its cassette, replacing the old one.

    Args:
        task: The task; it must name an agent factory.
        project: Where the cassette goes.
        model: Answers model calls instead of the agent's own client.
        prices: Price table; by default the offline snapshot.
        deploy: Version label of the recording.

    Raises:
        TaskError: If the task replays a foreign recording, or its agent cannot run.
    """
    if task.is_recorded:
        raise TaskError(
            "a task with `agent: recorded` has no agent to run",
            where=task.where("agent"),
            next_step="import or lift its recording again",
        )
    sink, wrap = memory_wrap()
    with importable(project.root):
        agent = load_agent(task, project)
        request = request_of(task, agent, deploy=deploy)
        try:
            desk = GrantAll(reason="granted for the recording")
            result = run_agent(agent, request, model=model, wrap=wrap, desk=desk, prices=prices)
        except GoldrunError as fault:
            raise TaskError(fault.what, where=task.where("agent"), next_step=fault.next_step) from fault
    if result.error is not None:
        raise TaskError(f"the run crashed: {result.error}", where=task.where("agent"))
    path = project.cassette_path(task)
    write_cassette(path, sink.recording(), provenance={"recorded_by": "goldrun record"}, overwrite=True)
    return path, result
