"""Run a golden task: replay its cassette under the task's policy and judge the trace."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.cassette.golden_cassette import read_cassette
from harness.redaction.redactor import looks_secret
from harness.errors import CassetteError, TaskError
from harness.golden.baseline import baseline_path, missing_fields, read_baseline
from harness.golden.load_code import importable
from harness.golden.rules.evaluation import CheckFailure, evaluate
from harness.golden.rules.invariants import check_invariants
from harness.golden.project import Project, load_agent
from harness.golden.task import GoldenTask
from harness.replay.divergence import EffectDivergence, describe
from harness.replay.matching import Matchers
from harness.sessions.replay import RunReplay, agent_setup, replay_run
from harness.text import safe_text
from runtime.core.ids import run_id
from runtime.core.trace import Trace
from runtime.entry.agent import Agent
from runtime.entry.run import Request
from runtime.errors import GoldrunError
from runtime.execution.clock import SystemClock
from runtime.journal.recording import Recording

SHOWN_DIVERGENCES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOutcome:
    """What one golden task came to.

    Attributes:
        task: The task.
        recorded: Trace of the cassette.
        trace: Trace of the replay.
        failures: Every failed rule.
        divergences: Where the replay left the cassette.
        seconds: CPU-independent wall time of the task.
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
        """Whether all rules hold and the replay is as recorded."""
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
        project: Where its cassette stands.
        deploy: Version label for the trace.
        recording: The run to judge, in place of the cassette's.

    Raises:
        TaskError: If the task cannot be run: no cassette, no baseline, a wrong agent.
        CassetteError: If the cassette is damaged.
    """
    started = time.perf_counter()
    _check_channels(task)
    recording = recording or load_recording(task, project)
    with importable(project.root):
        agent = None if task.is_recorded else load_agent(task, project)
        replay = _replay(task, recording, agent, deploy)
        trace = _identified(replay, task, deploy)
        failures = tuple(_judge(task, trace, recording, agent, replay.divergences))
    return GoldenOutcome(
        task=task,
        # A run that replays as recorded has one trace; folding it again would tell nothing new.
        recorded=trace if replay.verdict == "same" else recording.trace(),
        trace=trace,
        failures=failures,
        divergences=replay.divergences,
        seconds=time.perf_counter() - started,
        quarantined=is_quarantined(task),
        notes=(*replay.warnings, *_baseline_notes(task)),
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
    """Return whether a task's failure is tolerated today; an expired quarantine tolerates nothing."""
    return task.quarantine is not None and not task.quarantine.is_expired(SystemClock().now().date())


def run_task_unjudged(task: GoldenTask, project: Project) -> Trace:
    """Return the trace of a task's replay without judging it, to write a baseline from.

    Raises:
        TaskError: If the task cannot be run, or the replay is not as recorded.
    """
    recording = load_recording(task, project)
    with importable(project.root):
        agent = None if task.is_recorded else load_agent(task, project)
        replay = _replay(task, recording, agent, None)
    if replay.divergences:
        raise TaskError(
            f"no baseline is written from a diverged replay: {describe(replay.divergences[0])}",
            where=task.where("task"),
            next_step=f"record it anew first: `goldrun record {task.task}`",
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
    return read_cassette(path)


def _replay(task: GoldenTask, recording: Recording, agent: Agent | None, deploy: str | None) -> RunReplay:
    spec = task.replay.match
    matchers = Matchers(model=spec.model, ignore=tuple(p.removeprefix("args.") for p in spec.tools.ignore))
    setup = None
    if agent is not None:
        try:
            setup = agent_setup(agent, request_of(task, agent, deploy=deploy), recording.header)
        except GoldrunError as fault:
            raise TaskError(fault.what, where=task.where("policy"), next_step=fault.next_step) from fault
    replay = replay_run(recording, setup=setup, matchers=matchers, collect=True)
    if replay.trace is None:
        raise CassetteError(
            f"the recording cannot be replayed: {replay.error}",
            where=recording.source,
            next_step="record the task again, or assert on it without replaying",
        )
    return replay


def request_of(task: GoldenTask, agent: Agent, *, deploy: str | None = None) -> Request:
    """Return a task's request: its input, and its policy and budget over the agent's."""
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
) -> Iterable[CheckFailure]:
    baseline = read_baseline(task, baseline_path(task.path)) if needs_baseline(task) else None
    known = _known_tools(recording, agent)
    tainted_from = next((d.step for d in divergences if d.step is not None), None)
    yield from evaluate(
        task,
        trace,
        baseline=baseline,
        known_tools=known,
        header=recording.header,
        tainted_from=tainted_from,
    )
    yield from check_invariants(
        task, trace, header=recording.header, looks_secret=looks_secret, tainted_from=tainted_from
    )


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


def failure_text(outcome: GoldenOutcome) -> str:
    """Return one screen about a failed task: cause first, then every failed rule."""
    lines = [f"golden task {outcome.task.task} failed"]
    if outcome.divergences:
        first = outcome.divergences[0]
        lines.append(f"  cause: {outcome.cause or 'unknown'}")
        lines.append(f"  first divergence: {describe(first)}")
        if first.recorded is not None or first.replayed is not None:
            lines.append(f"    recorded: {_short(first.recorded)}")
            lines.append(f"    now:      {_short(first.replayed)}")
        rest = outcome.divergences[1 : SHOWN_DIVERGENCES + 1]
        lines += [f"  then: {describe(d)}" for d in rest]
        more = len(outcome.divergences) - 1 - len(rest)
        if more > 0:
            lines.append(f"  and {more} more that follow from it")
    lines += _change_lines(outcome)
    lines += _validation_lines(outcome)
    for failure in outcome.failures:
        lines += [f"  {line}" for line in failure.message.splitlines()]
    lines.append(f"  next: {_next_step(outcome)}")
    return "\n".join(lines)


def _change_lines(outcome: GoldenOutcome) -> list[str]:
    before, now = outcome.recorded, outcome.trace
    rows = [
        ("stop reason", before.stop_reason, now.stop_reason),
        ("tool calls", before.totals.tool_calls, now.totals.tool_calls),
        ("tool executions", before.totals.tool_executions, now.totals.tool_executions),
        ("model calls", before.totals.model_calls, now.totals.model_calls),
    ]
    changed = [f"{name} {a} -> {b}" for name, a, b in rows if a != b]
    return [f"  recorded -> now: {', '.join(changed)}"] if changed else []


def _validation_lines(outcome: GoldenOutcome) -> list[str]:
    """Show what the model was told of arguments that no longer validate; each text once."""
    told = {c.error: c.name for c in outcome.trace.tool_calls if c.status == "invalid_arguments" and c.error}
    before = {c.error for c in outcome.recorded.tool_calls}
    shown = [(name, text) for text, name in told.items() if text not in before][:SHOWN_DIVERGENCES]
    return [f"  validation errors of {name}: {_short(_problems(text))}" for name, text in shown]


def _problems(text: str) -> str:
    return "; ".join(line.removeprefix("- ") for line in text.splitlines()[1:])


def _next_step(outcome: GoldenOutcome) -> str:
    task = outcome.task.task
    if outcome.divergences:
        anew = (
            "import or lift its recording again"
            if outcome.task.is_recorded
            else f"`goldrun record {task}` (with --script or --base-url if the agent has no client) records it anew"
        )
        return f"undo the change, or if it is wanted: {anew}"
    return "correct the rule in the task file, or the agent"


def _short(value: Any) -> str:
    return safe_text(value if isinstance(value, str) else repr(value), 160)
