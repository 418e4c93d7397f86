"""Run a golden task: replay its cassette under the task's policy and judge the trace."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.cassette.golden_cassette import read_cassette
from harness.errors import CassetteError, TaskError
from harness.golden.baseline import baseline_path, missing_fields, read_baseline
from harness.golden.http_task import read_http_run, replay_http_task
from harness.golden.load_code import importable
from harness.golden.project import Project, load_agent
from harness.golden.rules.evaluation import judged, task_facts
from harness.golden.rules.facts import CheckFailure, failure_of
from harness.golden.rules.invariants import check_invariants
from harness.golden.rules.vacuity import ignored_nothing, unchecked_names
from harness.golden.task import GoldenTask
from harness.redaction.tripwire import looks_secret
from harness.replay.change_names import schema_change
from harness.replay.divergence import EffectDivergence, describe
from harness.replay.matching import Matchers
from harness.sessions.replay import RunReplay, agent_setup, replay_run
from runtime.core.ids import run_id
from runtime.core.trace import Trace
from runtime.entry.agent import Agent
from runtime.entry.run import Request
from runtime.errors import GoldrunError
from runtime.execution.clock import SystemClock
from runtime.journal.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOutcome:
    """The outcome of one golden task.

    Attributes:
        task: The task.
        recorded: Trace of the cassette.
        trace: Trace of the replay.
        failures: All failed rules.
        divergences: Where the replay differed from the cassette.
        seconds: Wall time of the task.
        quarantined: Whether failures are reported but tolerated.
    """

    task: GoldenTask
    recorded: Trace
    trace: Trace
    failures: tuple[CheckFailure, ...] = ()
    divergences: tuple[EffectDivergence, ...] = ()
    seconds: float = 0.0
    quarantined: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether all rules hold and the replay equals the recording."""
        return not self.failures and not self.divergences

    @property
    def cause(self) -> str | None:
        """Cause of the first divergence, if there is one."""
        first = next(iter(self.divergences), None)
        return None if first is None or first.cause is None else first.cause


def run_task(
    task: GoldenTask, project: Project, *, deploy: str | None = None, recording: Recording | None = None
) -> GoldenOutcome:
    """Replay a task's cassette and judge the trace.

    Args:
        task: The task.
        project: The project that holds its cassette.
        deploy: Version label for the trace.
        recording: The run to judge, in place of the cassette's.

    Raises:
        TaskError: If the task cannot run: no cassette, no baseline, or a wrong agent.
        CassetteError: If the cassette is damaged.
    """
    started = time.perf_counter()
    _check_channels(task)
    recording = recording or load_recording(task, project)
    with importable(project.root):
        agent = None if task.is_recorded or task.http_agent is not None else load_agent(task, project)
        replay = _replayed(task, project, recording, agent, deploy)
        trace = _identified(replay, task, deploy)
        failures, notes = _judge(task, trace, recording, agent, replay.divergences)
    return GoldenOutcome(
        task=task,
        # If the replay equals the recording, both have the same trace, so the recording need not be folded too.
        recorded=trace if replay.verdict == "same" else recording.trace(),
        trace=trace,
        failures=failures,
        divergences=replay.divergences,
        seconds=time.perf_counter() - started,
        quarantined=is_quarantined(task),
        notes=(*replay.warnings, *notes, *_baseline_notes(task)),
    )


def _check_channels(task: GoldenTask) -> None:
    for channel in ("model", "tools"):
        if getattr(task.replay, channel) == "live":
            raise TaskError(
                f"replay.{channel} is live, and golden tasks are answered from their cassette only",
                where=task.where(f"replay.{channel}"),
                next_step="set it to recorded",
            )


def is_quarantined(task: GoldenTask) -> bool:
    """Return whether failures of a task are tolerated today; an expired quarantine tolerates none."""
    return task.quarantine is not None and not task.quarantine.is_expired(SystemClock().now().date())


def run_task_unjudged(task: GoldenTask, project: Project) -> Trace:
    """Return the trace of a task's replay without judging it. It becomes the baseline.

    Raises:
        TaskError: If the task cannot run, or the replay differs from the recording.
    """
    recording = load_recording(task, project)
    with importable(project.root):
        agent = None if task.is_recorded or task.http_agent is not None else load_agent(task, project)
        replay = _replayed(task, project, recording, agent, None)
    if replay.divergences:
        raise TaskError(
            f"no baseline is written from a diverged replay: {describe(replay.divergences[0])}",
            where=task.where("task"),
            next_step=f"record it again first: `goldrun record {task.task}`",
        )
    return _identified(replay, task, None)


def load_recording(task: GoldenTask, project: Project) -> Recording:
    """Return a task's recorded run.

    Raises:
        TaskError: If there is no cassette.
        CassetteError: If it is damaged.
    """
    path = project.cassette_path(task)
    if not path.is_file():
        raise TaskError(
            f"the cassette {_shown(path, project)!r} is missing",
            where=task.where("cassette" if task.cassette else "task"),
            next_step=f"record it with `goldrun record {task.task}`, or name another one under `cassette:`",
        )
    return read_cassette(path) if task.http_agent is None else read_http_run(path)


def _replayed(
    task: GoldenTask, project: Project, recording: Recording, agent: Agent | None, deploy: str | None
) -> RunReplay:
    if task.http_agent is None:
        return _replay(task, recording, agent, deploy)
    return replay_http_task(task, project, recording)


def _replay(task: GoldenTask, recording: Recording, agent: Agent | None, deploy: str | None) -> RunReplay:
    spec = task.replay.match
    matchers = Matchers(model=spec.model, ignore=tuple(p.removeprefix("args.") for p in spec.tools.ignore))
    setup = None
    if agent is not None:
        try:
            setup = agent_setup(agent, request_of(task, agent, deploy=deploy), recording.header)
        except GoldrunError as fault:
            what = fault.what
            before, now = recording.header.tool_schemas, tuple(t.decl.schema for t in agent.tools)
            if before and (changed := schema_change(before, now)) is not None:
                what = f"tool schema: {changed}; {what}"
            raise TaskError(what, where=task.where("policy"), next_step=fault.next_step) from fault
    replay = replay_run(recording, setup=setup, matchers=matchers, collect=True)
    if replay.trace is None:
        raise CassetteError(
            f"the recording cannot be replayed: {replay.error}",
            where=recording.source,
            next_step="record the task again, or assert on it without replaying",
        )
    return replay


def request_of(task: GoldenTask, agent: Agent, *, deploy: str | None = None) -> Request:
    """Return a task's request: its input, and its policy and budget in place of the agent's."""
    policy = None if task.policy is None else task.policy.to_policy(agent.policy)
    budget = None if task.policy is None else task.policy.to_budget(agent.budget)
    return Request(
        prompt=task.input.to_messages(),
        tenant=task.input.tenant or "golden",
        environment=task.input.environment or "test",
        request_id=task.input.request_id or f"req_golden_{task.task.replace('/', '_')}",
        deploy=deploy,
        source="golden",
        suite=suite_of(task),
        task=task.task,
        seed=task.input.seed,
        policy=policy,
        budget=budget,
    )


def suite_of(task: GoldenTask) -> str:
    """Return the suite: the first part of the task's name."""
    return task.task.partition("/")[0]


def _identified(replay: RunReplay, task: GoldenTask, deploy: str | None) -> Trace:
    assert replay.trace is not None
    trace = replay.trace
    return msgspec.structs.replace(
        trace,
        task=task.task,
        suite=suite_of(task),
        deploy=deploy,
        source="golden",
        run_id=run_id(trace.request_id, deploy=deploy, source="golden"),
    )


def _judge(
    task: GoldenTask,
    trace: Trace,
    recording: Recording,
    agent: Agent | None,
    divergences: tuple[EffectDivergence, ...],
) -> tuple[tuple[CheckFailure, ...], tuple[str, ...]]:
    """Return the rules that do not hold, and what could not be checked."""
    baseline = read_baseline(task, baseline_path(task.path)) if needs_baseline(task) else None
    tainted_from = next((d.step for d in divergences if d.step is not None), None)
    facts = task_facts(
        task,
        trace,
        baseline=baseline,
        known_tools=_known_tools(recording, agent),
        header=recording.header,
        tools=() if agent is None else (t.decl for t in agent.tools),
    )
    ignore = task.replay.match.tools.ignore
    ignored = ignored_nothing(ignore, recording.trace().tool_calls + trace.tool_calls) if ignore else ()
    failures = [
        *(failure_of(finding, task.where(finding.path)) for finding in ignored),
        *judged(task, facts, tainted_from=tainted_from),
        *check_invariants(
            task, trace, header=recording.header, looks_secret=looks_secret, tainted_from=tainted_from
        ),
    ]
    unsure = unchecked_names(task.expect, facts)
    notes = (f"nothing says which tools there are; not checked: {', '.join(unsure)}",) if unsure else ()
    return tuple(failures), notes


def _baseline_notes(task: GoldenTask) -> tuple[str, ...]:
    if not needs_baseline(task):
        return ()
    lacks = sorted(missing_fields(read_baseline(task, baseline_path(task.path))))
    return (f"the baseline lacks {', '.join(lacks)}: not compared",) if lacks else ()


def needs_baseline(task: GoldenTask) -> bool:
    """Return whether a task's rules compare with a stored trace."""
    cost = task.expect.cost
    return task.expect.trace == "baseline" or (cost is not None and cost.vs_baseline is not None)


def _known_tools(recording: Recording, agent: Agent | None) -> frozenset[str] | None:
    if agent is not None:
        return frozenset(t.name for t in agent.tools)
    if recording.header.tools == "opaque":
        return None
    return frozenset(t.schema.name for t in recording.header.tools)


def _shown(path: Any, project: Project) -> str:
    return str(path.relative_to(project.root)) if path.is_relative_to(project.root) else path.name
