"""`goldrun replay`: run recordings again, with progress, and report each run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, progress, say
from harness.errors import CassetteError
from harness.golden.load_code import build_agent, importable
from harness.replay.divergence import describe, headline
from harness.sessions.recordings import count_recordings, iter_recordings
from harness.sessions.replay import RunReplay, agent_setup, replay_run, run_json
from harness.text import safe_text
from runtime.entry.agent import Agent
from runtime.entry.run import Request
from runtime.errors import ExitCode
from runtime.journal.recording import Recording

SHOWN_RUNS = 20
"""How many diverged runs are printed in full; the others are only counted."""


def replay(
    paths: Annotated[list[str], typer.Argument(help="Cassettes, segments, folders, or FILE#REQUEST_ID.")],
    collect: Annotated[bool, typer.Option(help="Continue after the first divergence of a run.")] = False,
    agent: Annotated[str | None, typer.Option(help="Run this agent's code: module:factory.")] = None,
    json: Json = False,
) -> int:
    """Run recordings through the real orchestrator again, and say whether the runs are the same."""
    with importable(Path.cwd()):
        code = None if agent is None else build_agent(agent, where="--agent")
        tally = _replay_all(paths, code, collect=collect, keep_runs=json)
    if json:
        emit_json(tally.document())
    else:
        _print(tally)
    return tally.exit_code


def _replay_all(paths: list[str], code: Agent | None, *, collect: bool, keep_runs: bool) -> _Tally:
    total = sum(count_recordings(path) for path in paths)
    if total == 0:
        raise CassetteError("there is no recording to replay", where=", ".join(paths))
    tally = _Tally(keep_runs=keep_runs)
    started = time.perf_counter()
    with progress("replaying", total) as advance:
        for path in paths:
            for recording in iter_recordings(path, allow_edited=True):
                tally.add(_replay(recording, code, collect=collect))
                advance(1, recording.header.request_id)
    tally.seconds = time.perf_counter() - started
    return tally


class _Tally:
    """Counts of the replayed runs, and their JSON documents for `--json`."""

    def __init__(self, *, keep_runs: bool) -> None:
        self._keep = keep_runs
        self.documents: list[dict[str, Any]] = []
        self.shown: list[RunReplay] = []
        self.verdicts = {"same": 0, "diverged": 0, "assert-only": 0, "error": 0}
        self.effects = 0
        self.seconds = 0.0

    def add(self, run: RunReplay) -> None:
        self.verdicts[run.verdict] += 1
        self.effects += run.effects
        if self._keep:
            self.documents.append(run_json(run))
        elif run.verdict != "same" and len(self.shown) < SHOWN_RUNS:
            self.shown.append(run)

    @property
    def runs(self) -> int:
        return sum(self.verdicts.values())

    @property
    def verdict(self) -> str:
        """The worst verdict of a run; `assert-only` only where nothing could be replayed."""
        for name in ("diverged", "error"):
            if self.verdicts[name]:
                return name
        return "same" if self.verdicts["same"] else "assert-only"

    @property
    def exit_code(self) -> int:
        if self.verdicts["diverged"]:
            return ExitCode.CHECK_FAILED
        # An assert-only run is no failure, but a command that could replay nothing has shown nothing.
        if self.verdicts["error"] or not self.verdicts["same"]:
            return ExitCode.DATA
        return ExitCode.OK

    def document(self) -> dict[str, Any]:
        return {
            "schema": "goldrun.replay/1",
            "runs": self.documents,
            "totals": {
                "runs": self.runs,
                "same": self.verdicts["same"],
                "diverged": self.verdicts["diverged"],
                "assert_only": self.verdicts["assert-only"],
                "errors": self.verdicts["error"],
                "effects": self.effects,
                "seconds": round(self.seconds, 3),
            },
        }


def _replay(recording: Recording, agent: Agent | None, *, collect: bool) -> RunReplay:
    if agent is None:
        return replay_run(recording, collect=collect)
    header = recording.header
    # Policy and budget come from the code, not from the recording: the replay should show their changes.
    request = replace(Request.of(header), source="replay", policy=None, budget=None)
    return replay_run(recording, setup=agent_setup(agent, request, header), collect=collect)


def _print_run(run: RunReplay) -> None:
    header = run.recording.header
    name = header.task or header.request_id
    cause = f"  {headline(run.divergences[0])}" if run.divergences else ""
    say(
        f"{run.verdict}: {safe_text(name, 80)}{safe_text(cause, 160)}  ({safe_text(run.recording.source, 100)})"
    )
    if run.error:
        say(f"  {safe_text(run.error, 200)}")
    for divergence in [d for d in run.divergences if not d.tainted] or run.divergences[:1]:
        say(f"  {safe_text(describe(divergence), 160)}")
        if divergence.recorded is not None or divergence.replayed is not None:
            say(f"    recorded: {_value(divergence.recorded)}")
            say(f"    now:      {_value(divergence.replayed)}")
    tainted = sum(d.tainted for d in run.divergences)
    if tainted:
        say(f"  and {tainted} more that follow from it")
    if run.trace is not None and run.trace.stop_reason != run.recording.stop_reason:
        say(f"  stop reason: {run.recording.stop_reason} -> {run.trace.stop_reason}")


def _print(tally: _Tally) -> None:
    for run in tally.shown:
        _print_run(run)
    counts = tally.verdicts
    bad = tally.runs - counts["same"]
    if bad > len(tally.shown):
        say(f"... and {bad - len(tally.shown)} more runs")
    rate = tally.effects / tally.seconds if tally.seconds else 0.0
    others = "".join(
        f"; {counts[name]} {words}"
        for name, words in (
            ("diverged", "diverged"),
            ("assert-only", "assert-only"),
            ("error", "could not be replayed"),
        )
        if counts[name]
    )
    say(
        f"verdict: {tally.verdict}: {counts['same']} of {tally.runs} runs are the same{others}"
        f" ({tally.effects} effects, {tally.seconds:.2f} s, {rate:,.0f} effects/s)"
    )
    if counts["diverged"]:
        say(
            "next: look at one run with `goldrun replay --collect FILE#REQUEST_ID`, or `goldrun show FILE#REQUEST_ID`"
        )


def _value(value: Any) -> str:
    return safe_text(value if isinstance(value, str) else repr(value), 160)
