"""Replay one recorded run through the real orchestrator and say whether it is the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from harness.replay.divergence import EffectDivergence, ReplayDivergence
from harness.replay.guards import guard_changes, guard_divergences
from harness.replay.matching import STRICT, Matchers, RecordingIndex
from harness.replay.performer import ReplayPerformer
from harness.sessions.recorded_end import check_end
from harness.sessions.redactors import redactor_for
from harness.sessions.verdicts import hold_verdicts
from runtime.core.money import Rate
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.core.trace import Trace, trace_json
from runtime.entry.agent import Agent
from runtime.entry.run import Request, prepare
from runtime.execution.driver import drive
from runtime.journal.recording import Recording
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup, ToolSpec
from runtime.tools.schema_check import schema_validator

RunVerdict = Literal["same", "diverged", "assert-only", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReplay:
    """What replaying one run came to.

    Attributes:
        recording: What was replayed.
        verdict: `same` means every key matched, every record was used, and the trace hash is equal.
        divergences: In order; the first one first, what follows from it marked as tainted.
        trace: The replayed trace; `None` where a strict replay ended at its first divergence.
        effects: Effects the flow asked for.
        warnings: What differs without being a divergence: a policy, a clamped limit.
        error: Why the run could not be replayed at all.
    """

    recording: Recording
    verdict: RunVerdict
    divergences: tuple[EffectDivergence, ...] = ()
    trace: Trace | None = None
    effects: int = 0
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedPrices:
    """The prices a recording was made under."""

    id: str | None
    rates: Mapping[str, Rate]

    def rate(self, model: str, provider: str | None) -> Rate | None:
        """Return the recorded rate of a model; that of the dearest recorded one for a model that is new.

        So a run whose model changed gets as far as its first request, where the change shows. Its replies keep
        their recorded cost.
        """
        known = self.rates.get(model)
        return known or max(self.rates.values(), key=lambda r: (r.output, r.input), default=None)


_VALIDATORS: dict[str, dict[str, ToolSpec]] = {}


def recorded_setup(recording: Recording) -> RunSetup:
    """Return the setup of a run from its recording alone, without agent code.

    Raises:
        ValueError: If a recorded tool schema is wrong.
    """
    header = recording.header
    if header.tools == "opaque":
        return RunSetup(header=header, tools=None)
    key = header.tools_hash or ""
    specs = _VALIDATORS.get(key) if key else None
    if specs is None:
        specs = {
            t.schema.name: ToolSpec(decl=t, validate=schema_validator(t.schema.parameters))
            for t in header.tools
        }
        if key:
            _VALIDATORS[key] = specs
    elif any(specs.get(t.schema.name) is None or specs[t.schema.name].decl != t for t in header.tools):
        specs = {
            t.schema.name: ToolSpec(decl=t, validate=specs[t.schema.name].validate) for t in header.tools
        }
    return RunSetup(header=header, tools=hold_verdicts(recording, specs))


def agent_setup(agent: Agent, request: Request, recorded: Header) -> RunSetup:
    """Return the setup of an agent's code under the recorded identity, seed and prices.

    Raises:
        runtime.errors.UsageError: If the agent cannot run as asked.
    """
    as_recorded = replace(request, request_id=recorded.request_id, seed=recorded.seed)
    prices = RecordedPrices(recorded.price_table, recorded.rates)
    return prepare(agent, as_recorded, prices=prices, started_at=recorded.started_at, inputs=recorded.inputs)


def replay_run(
    recording: Recording,
    *,
    setup: RunSetup | None = None,
    matchers: Matchers = STRICT,
    collect: bool = False,
) -> RunReplay:
    """Run the orchestrator over a recording's outcomes.

    Args:
        recording: What was recorded.
        setup: The run's setup from agent code; from the recording alone by default.
        matchers: How much of a call must be as recorded.
        collect: Serve on past the first divergence.
    """
    if recording.header.assert_only is not None:
        return RunReplay(recording=recording, verdict="assert-only", error=recording.header.assert_only)
    try:
        ready = setup or recorded_setup(recording)
    except ValueError as error:
        return RunReplay(recording=recording, verdict="error", error=str(error))
    cleaner = redactor_for(recording, os.environ)
    performer = ReplayPerformer(RecordingIndex(recording, matchers), collect=collect, cleaner=cleaner)
    try:
        finished = drive(run_flow(ready), performer, ready.header)
    except ReplayDivergence as signal:
        return RunReplay(
            recording=recording,
            verdict="diverged",
            divergences=(signal.divergence,),
            effects=performer.effects,
        )
    if finished.error is not None and not _died_as_recorded(recording):
        return RunReplay(
            recording=recording, verdict="error", error=str(finished.error), effects=performer.effects
        )
    trace = finished.trace
    divergences = [*performer.divergences, *performer.leftovers(trace.stop_reason)]
    if recording.edited and not divergences:
        divergences.append(_edited(recording))
    warnings = _warnings(recording.header, ready.header)
    if not divergences:
        at_end = check_end(recording, trace, matchers)
        divergences += at_end.divergences
        warnings += at_end.warnings
    if not divergences:
        divergences += _children_differ(recording)
    divergences = [*guard_divergences(guard_changes(recording.header, ready.header)), *divergences]
    return RunReplay(
        recording=recording,
        verdict="diverged" if divergences else "same",
        divergences=tuple(divergences),
        trace=trace,
        effects=performer.effects,
        warnings=tuple(warnings),
    )


def _children_differ(recording: Recording) -> list[EffectDivergence]:
    """Replay the child runs that are kept with a run; the tools that began them are not carried out on replay.

    Each follows from its own recording, so what is compared is the recorded run, not the code of the child agent.
    """
    found: list[EffectDivergence] = []
    for child in recording.children:
        replay = replay_run(child)
        name = child.header.request_id.removeprefix(f"{recording.header.request_id}/")
        found += [msgspec.structs.replace(d, lane=f"{name}>{d.lane}") for d in replay.divergences]
        if replay.error is not None:
            found.append(_child_error(name, replay.error))
    return found


def _child_error(name: str, error: str) -> EffectDivergence:
    return EffectDivergence(
        step=None,
        lane=f"{name}>end",
        kind="end",
        name=None,
        verdict="changed",
        path="error",
        cause="code",
        replayed=error,
    )


def _died_as_recorded(recording: Recording) -> bool:
    """Return whether the run ended because something raised: the replay then has to end so too."""
    return recording.stop_reason == StopKind.INTERNAL_ERROR


def _edited(recording: Recording) -> EffectDivergence:
    """An edit that replay cannot tell from a true recording is no recording either."""
    return EffectDivergence(
        step=None,
        lane="begin",
        kind="begin",
        name=None,
        verdict="changed",
        path="root",
        cause="code",
        recorded=recording.root,
    )


def _warnings(recorded: Header, now: Header) -> list[str]:
    found = []
    found += [change.text for change in guard_changes(recorded, now) if not change.weakened]
    if recorded.agent_version != now.agent_version:
        found.append(f"agent version was {recorded.agent_version!r}, is {now.agent_version!r}")
    if recorded.tools_hash != now.tools_hash:
        found.append("tool schemas are not the recorded ones")
    return found


def replay_json(runs: list[RunReplay], *, seconds: float) -> dict[str, Any]:
    """Return the `goldrun.replay/1` document of some replayed runs."""
    verdicts = [r.verdict for r in runs]
    return {
        "schema": "goldrun.replay/1",
        "runs": [run_json(r) for r in runs],
        "totals": {
            "runs": len(runs),
            "same": verdicts.count("same"),
            "diverged": verdicts.count("diverged"),
            "assert_only": verdicts.count("assert-only"),
            "errors": verdicts.count("error"),
            "effects": sum(r.effects for r in runs),
            "seconds": round(seconds, 3),
        },
    }


def run_json(run: RunReplay) -> dict[str, Any]:
    """Return one run's part of the `goldrun.replay/1` document."""
    recorded = run.recording.trace()
    return {
        "request_id": run.recording.header.request_id,
        "source": run.recording.source,
        "verdict": run.verdict,
        "stop_reason": {
            "recorded": recorded.stop_reason,
            "replayed": None if run.trace is None else run.trace.stop_reason,
        },
        "totals": {
            "recorded": totals_json(recorded),
            "replayed": None if run.trace is None else totals_json(run.trace),
        },
        "divergences": [msgspec.to_builtins(d) for d in run.divergences],
        "warnings": list(run.warnings),
        "error": run.error,
    }


def totals_json(trace: Trace) -> dict[str, Any]:
    """Return a trace's totals as the trace document has them."""
    plain: dict[str, Any] = trace_json(msgspec.structs.replace(trace, steps=()))["totals"]
    return plain
