"""The seam is total and typed: each effect has an answer everywhere, and a misspelt field does not pass the types."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.replay.matching import RecordingIndex
from harness.replay.performer import ReplayPerformer
from runtime.core.effects import (
    KIND_OF,
    RETIRED_KINDS,
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    EffectKind,
    End,
    Input,
    InputReply,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
    limits_of,
    name_of,
)
from runtime.core.fold import Pair, fold_trace
from runtime.core.keys import Keyer
from runtime.core.messages import ModelReply, ModelRequest, TextPart
from runtime.execution.governor import Governor
from runtime.execution.guarded.performer import GuardedPerformer
from runtime.execution.live.performer import LivePerformer
from runtime.execution.world import World
from runtime.journal.builder import RecordBuilder
from runtime.journal.recording import Recording, recording_of
from runtime.observability.run_events import ObservingPerformer
from runtime.testing import FakeClock, GrantAll
from runtime.testing.ram_store import RamControlStore
from runtime.testing.scripted import ScriptedModel
from tests.support.playbook import header

ROOT = Path(__file__).resolve().parents[3]
CALL: dict[str, Any] = {"call_id": "a", "name": "look", "arguments": {}, "args_hash": "h"}
HEADER = header()
PAIRS: list[Pair] = [
    (Begin(header=HEADER), Outcome(at=0.0)),
    (
        CallModel(lane="0.model/1", request=ModelRequest(model="m1", messages=())),
        Outcome(ModelReply(parts=(TextPart("hi"),), finish_reason="stop"), at=1.0),
    ),
    (
        Admit(lane="0.admit0/1", subject="tool", name="look"),
        Outcome(Admission(granted=False, cause="rate"), at=1.0),
    ),
    (
        AskApproval(lane="0.approval0/1", policy_hash="p", timeout_s=1.0, **CALL),
        Outcome(ApprovalAnswer(decision="granted"), at=1.0),
    ),
    (ReadControls(lane="0.controls/1"), Outcome(Controls(pulled=("kill",)), at=1.0)),
    (Refuse(lane="0.tool1/1", status="denied", message="no", rule="policy", **CALL), Outcome(at=1.0)),
    (CallTool(lane="0.tool0/1", **CALL), Outcome(ToolResult(content="ok"), at=2.0)),
    (Wait(lane="0.wait/2", seconds=0.0), Outcome(at=2.0)),
    (Input(lane="0.input/1"), Outcome(InputReply(end="finish"), at=2.0)),
    (End(stop_reason="finish"), Outcome(at=2.0)),
]
OUTCOME_OF = {type(effect): outcome for effect, outcome in PAIRS}


def recording() -> Recording:
    builder = RecordBuilder(run="run_1")
    made = [
        record
        for effect, outcome in PAIRS
        for record in (builder.intent(effect), builder.outcome(effect, outcome))
        if record is not None
    ]
    return recording_of(made)


def live() -> LivePerformer:
    return LivePerformer(World(model=ScriptedModel(["hi"]), clock=FakeClock()))


async def guarded(effect: SingleEffect) -> AnyOutcome:
    governor = Governor(RamControlStore(), clock=FakeClock())
    await governor.open_run(HEADER, payload_hash="p")
    guard = governor.guard(HEADER, fencing=1)
    try:
        return await GuardedPerformer(live(), guard, desk=GrantAll()).perform(effect)
    finally:
        await guard.close("finish")


async def observed(effect: SingleEffect) -> AnyOutcome:
    performer = ObservingPerformer(live(), [], key=b"k" * 16)
    await performer.perform(Begin(header=HEADER))
    return await performer.perform(effect)


def folded(effect: SingleEffect) -> object:
    return fold_trace(HEADER, [(effect, OUTCOME_OF[type(effect)])], End(stop_reason="finish"))


def built(effect: SingleEffect) -> object:
    builder = RecordBuilder(run="run_1")
    return (builder.intent(effect), builder.outcome(effect, OUTCOME_OF[type(effect)]))


def read_back(effect: SingleEffect) -> object:
    found = recording()
    lane = None if isinstance(effect, Begin | End) else effect.lane
    return [found.effect(i) for i in found.interactions if i.lane == lane]


def replayed(effect: SingleEffect) -> AnyOutcome:
    return ReplayPerformer(RecordingIndex(recording())).perform(effect)


DISPATCHERS: dict[str, Callable[[SingleEffect], object]] = {
    "kind": lambda effect: KIND_OF[type(effect)],
    "name": name_of,
    "limits": limits_of,
    "key": lambda effect: Keyer().key(effect),
    "fold": folded,
    "builder": built,
    "recording": read_back,
    "replay": replayed,
    "live": lambda effect: asyncio.run(live().perform(effect)),
    "guarded": lambda effect: asyncio.run(guarded(effect)),
    "events": lambda effect: asyncio.run(observed(effect)),
}


def test_there_is_an_example_of_each_kind_of_effect() -> None:
    assert set(OUTCOME_OF) == set(get_args(SingleEffect)) == set(KIND_OF)
    assert set(EffectKind) == {*KIND_OF.values(), *RETIRED_KINDS, EffectKind.HTTP}


@pytest.mark.parametrize("name", DISPATCHERS)
@pytest.mark.parametrize("effect", [e for e, _ in PAIRS], ids=lambda effect: type(effect).__name__)
def test_each_kind_of_effect_has_an_answer_in_each_dispatcher(effect: SingleEffect, name: str) -> None:
    answer = DISPATCHERS[name](effect)

    if name in {"replay", "live", "guarded", "events"}:
        assert isinstance(answer, Outcome)
    if name == "recording" and not isinstance(effect, Begin | End):
        (again,) = answer if isinstance(answer, list) else [None]
        assert type(again) is type(effect)


TYPOS = {
    "a guard": ("runtime/orchestrator/tool_step.py", "answer.decision:", "answer.decison:", "decison"),
    "the switches": (
        "runtime/orchestrator/tool_step.py",
        "outcome.value.pulled",
        "outcome.value.puled",
        "puled",
    ),
    "the fold": ("runtime/core/fold.py", "reply.denials)", "reply.denial)", "denial"),
    "the input": ("runtime/orchestrator/loop.py", "said.messages", "said.mesages", "mesages"),
    "the builder": ("runtime/journal/builder.py", "outcome.value.granted", "outcome.value.grantd", "grantd"),
    "the keys": ("runtime/core/keys.py", "effect.decided_hash", "effect.decidd_hash", "decidd_hash"),
}
UNION = "SingleEffect = Begin |"
NEW_KIND = '''class Sing(Value, frozen=True):
    """A new kind of effect."""

    lane: str


SingleEffect = Sing | Begin |'''
DISPATCHING = (
    "runtime/core/effects.py",
    "runtime/core/fold.py",
    "runtime/core/keys.py",
    "runtime/journal/builder.py",
    "runtime/execution/live/performer.py",
    "runtime/execution/guarded/performer.py",
    "runtime/observability/run_events.py",
    "harness/replay/performer.py",
)
ORCHESTRATOR = ("runtime/orchestrator/tool_step.py", "runtime/orchestrator/loop.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the type checker says of a copy with a misspelt field in each place, and one more kind of effect."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("runtime", "harness"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, right, wrong in [*(typo[:3] for typo in TYPOS.values()), (DISPATCHING[0], UNION, NEW_KIND)]:
        text = (folder / name).read_text(encoding="utf-8")
        assert right in text, f"{name} does not say {right!r} any more"
        (folder / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", *DISPATCHING, *ORCHESTRATOR]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("place", TYPOS)
def test_the_types_refuse_a_misspelt_field(told: str, place: str) -> None:
    assert f'"{TYPOS[place][3]}"' in told


@pytest.mark.parametrize("name", DISPATCHING)
def test_the_types_refuse_a_new_kind_of_effect_until_each_dispatcher_knows_it(told: str, name: str) -> None:
    assert [line for line in told.splitlines() if line.startswith(f"{name}:") and "Sing" in line] != []
