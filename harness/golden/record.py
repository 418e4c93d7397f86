"""Record a golden task: run its agent once, judge the run, and replace its cassette only if the run is as wanted."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.cassette.file_io import replace_file
from harness.cassette.golden_cassette import read_cassette, write_cassette
from harness.cassette.store import CASSETTE, REJECTED
from harness.errors import CassetteError, RecordingStopped, TaskError
from harness.golden.load_code import importable, load_code
from harness.golden.project import Project, load_agent
from harness.golden.runner import GoldenOutcome, request_of, run_task
from harness.golden.task import GoldenTask
from harness.replay.divergence import describe
from harness.sessions.channels import EVERY_TOOL, Channels
from harness.sessions.record_run import NewRecording, record_run
from runtime.core.stop import StopClass, parse_stop
from runtime.entry.agent import Agent
from runtime.entry.run import RunResult
from runtime.errors import GoldrunError
from runtime.journal.recording import Recording
from runtime.ports.models import ModelPort
from runtime.ports.prices import RateSource

_UNWANTED = frozenset({StopClass.MODEL, StopClass.TOOL, StopClass.FAULT, StopClass.OPERATOR})
"""Classes of stop reasons that no cassette has unless its task asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecording:
    """What recording a golden task came to.

    Attributes:
        task: Name of the task.
        status: `recorded` wrote a cassette; `unchanged` found the same decisions, and left the cassette as it was;
            `rejected` put the new recording beside it.
        path: Where the recording stands.
        result: How the run ended.
        problems: Why it was rejected.
    """

    task: str
    status: Literal["recorded", "unchanged", "rejected"]
    path: Path
    result: RunResult
    problems: tuple[str, ...] = ()


def record_task(
    task: GoldenTask,
    project: Project,
    *,
    model: ModelPort | None = None,
    prices: RateSource | None = None,
    deploy: str | None = None,
    reads: Literal["live", "recorded"] = "live",
    allow_writes: Collection[str] = (),
    force: bool = False,
) -> TaskRecording:
    """Run a task's agent and replace its cassette, if the run is one that the task accepts.

    Args:
        task: The task; it must name an agent factory.
        project: Where the cassette goes.
        model: Answers model calls instead of the agent's own client.
        prices: Price table; by default the offline snapshot.
        deploy: Version label of the recording.
        reads: Whether tools that do not write are carried out, or answered from the old cassette.
        allow_writes: Tools whose writes are carried out, or `*`. In the environment `prod` only names count.
        force: Replace the cassette also where the decisions are the same.

    Raises:
        TaskError: If the task replays a foreign recording, or its agent cannot run.
        CassetteError: If the old cassette is damaged, or the new one cannot be written.
        RecordingStopped: If the run asks for a write or an approval that nothing answers.
    """
    if task.is_recorded:
        raise TaskError(
            "a task with `agent: recorded` has no agent to run",
            where=task.where("agent"),
            next_step="import or lift its recording again",
        )
    path = project.cassette_path(task)
    old = read_cassette(path) if path.exists() else None
    with importable(project.root):
        agent = load_agent(task, project)
        channels = _channels(task, agent, reads, allow_writes)
        try:
            request = request_of(task, agent, deploy=deploy)
            made = record_run(agent, request, channels, old=old, model=model, prices=prices)
        except RecordingStopped as stopped:
            raise RecordingStopped(
                stopped.what, where=task.where("task"), next_step=_by_name(task, stopped.next_step)
            ) from stopped
        except GoldrunError as fault:
            raise TaskError(fault.what, where=task.where("agent"), next_step=fault.next_step) from fault
    if made.recording.end is None:
        raise TaskError(f"the run died: {made.result.error}", where=task.where("agent"))
    return _keep(task, project, made, None if force else old)


def rejection_text(made: TaskRecording) -> str:
    """Return the report of a rejected recording."""
    lines = [f"recording of {made.task} rejected: {made.result.stop_reason}"]
    lines += [f"  {line}" for problem in made.problems for line in problem.splitlines()]
    lines.append(f"  kept beside the old cassette: {made.path.name}")
    lines.append("  next: correct the agent or the task and record again, or rename it if it is wanted")
    return "\n".join(lines)


def _channels(
    task: GoldenTask, agent: Agent, reads: Literal["live", "recorded"], allowed: Collection[str]
) -> Channels:
    names = {tool.name for tool in agent.tools}
    opaque = any(tool.decl.children for tool in agent.tools)  # child agents have tools of their own
    for section, tools in (("approvals", task.approvals), ("stand_ins", task.stand_ins)):
        unknown = sorted(set(tools) - names)
        if unknown and not opaque:
            raise TaskError(
                f"the agent has no tool {unknown[0]!r}",
                where=task.where((section, unknown[0])),
                next_step=f"its tools are {', '.join(sorted(names)) or 'none'}",
            )
    live = set(allowed)
    if (task.input.environment or "") == "prod":
        live.discard(EVERY_TOOL)
    return Channels(
        reads=reads,
        live=frozenset(live),
        approvals=task.approvals,
        stand_ins={
            tool: load_code(reference, where=task.where(("stand_ins", tool)), error=TaskError)
            for tool, reference in task.stand_ins.items()
        },
    )


def _by_name(task: GoldenTask, next_step: str | None) -> str | None:
    if next_step is None or task.input.environment != "prod":
        return next_step
    return f"{next_step}; the environment is prod, so a write needs the tool's name"


def _keep(task: GoldenTask, project: Project, made: NewRecording, old: Recording | None) -> TaskRecording:
    """Judge a new recording, as a reader will read it, and put it where it belongs."""
    path = project.cassette_path(task)
    data, recording = _document(path, made.recording)
    if old is not None and decisions(old) == decisions(recording):
        return TaskRecording(task=task.task, status="unchanged", path=path, result=made.result)
    problems = _problems(task, project, recording)
    rejected = path.with_name(path.name + REJECTED)
    target = rejected if problems else path
    with replace_file(target, overwrite=True) as file:
        file.write(data)
    if not problems:
        rejected.unlink(missing_ok=True)
    return TaskRecording(
        task=task.task,
        status="rejected" if problems else "recorded",
        path=target,
        result=made.result,
        problems=problems,
    )


def _document(path: Path, recording: Recording) -> tuple[bytes, Recording]:
    """Return a recording's document, and what is read back from it; nothing is written near the old one."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, f"draft{CASSETTE}")
        try:
            write_cassette(draft, recording, provenance={"recorded_by": "goldrun record"})
            read = read_cassette(draft)
        except CassetteError as error:
            raise CassetteError(error.what, where=str(path), next_step=error.next_step) from error
        read.source = str(path)
        return draft.read_bytes(), read


def decisions(recording: Recording) -> dict[str, object]:
    """Return what a recorded run and its child runs decided and ran under, without times and ids.

    Sorted by lane: calls of one turn finish in any order, which decides nothing.
    """
    header = recording.header
    return {
        "calls": sorted((i.lane, i.kind.value, i.key or "", i.record.write) for i in recording.interactions),
        "prompt": header.prompt_hash,
        "tools": header.tools,
        "policy": (header.policy, header.budget, header.model_retry, header.tool_retry),
        "model": (header.models, header.parameters),
        "prices": header.price_table,
        "version": header.agent_version,
        "trace": recording.trace().trace_hash,
        "children": [decisions(child) for child in recording.children],
    }


def _problems(task: GoldenTask, project: Project, recording: Recording) -> tuple[str, ...]:
    """Return why a recording is none that its task accepts; how it differs from the baseline is no reason."""
    outcome = run_task(_without_baseline(task), project, recording=recording)
    problems = [failure.message for failure in outcome.failures]
    stop = parse_stop(outcome.trace.stop_reason)
    if task.expect.stop_reason is None and stop.stop_class in _UNWANTED:
        problems.insert(0, f"the run ended with {stop}, and the task has no rule that accepts it")
    return (*problems, *_divergences(outcome))


def _divergences(outcome: GoldenOutcome) -> list[str]:
    return [f"it does not replay as it was recorded: {describe(d)}" for d in outcome.divergences[:1]]


def _without_baseline(task: GoldenTask) -> GoldenTask:
    """Return the task without rules that compare with the accepted run, which a new recording may well differ from."""
    expect = task.expect
    cost = expect.cost
    if cost is not None and cost.vs_baseline is not None:
        cost = cost.model_copy(update={"vs_baseline": None})
    return task.model_copy(update={"expect": expect.model_copy(update={"trace": None, "cost": cost})})
