"""tau-bench result files: a list of trials, each with its reward and its conversation as chat messages.

The files do not name the model. They are named `<model>-<domain>.json` or carry the domain in a longer name; the
name is the agent, the domain the suite. A run usually ends with a turn of the simulated user or a result, so it is
`open`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.importers.openai_messages import UNKNOWN, chat, said
from harness.importers.runlog import ForeignRunLog, Said
from harness.importers.sources import plain_stem
from runtime.core.effects import CallStatus
from runtime.core.messages import Message, ToolResponsePart

FORMAT = "tau-bench"
_DOMAIN = re.compile(r"(?:^|[^a-z])(airline|retail|telecom)(?:[^a-z]|$)")
_FIELDS = ("task_id", "reward", "info", "traj")


def read(document: Any, file: str) -> list[ForeignRunLog | None] | None:
    """Return the runs of a result file, or of one trial; `None` if it is neither."""
    if (run := _run(document, file)) is not None:
        return [run]
    if not isinstance(document, list) or not document:
        return None
    runs = [_run(entry, file) for entry in document]
    return None if all(run is None for run in runs) else runs


def _run(trial: Any, file: str) -> ForeignRunLog | None:
    if not isinstance(trial, dict) or not all(name in trial for name in _FIELDS):
        return None
    info, reward = trial["info"], trial["reward"]
    # A trial that raised has no messages and tells the error.
    messages = chat(trial["traj"]) if trial["traj"] != [] else ()
    if messages is None or not isinstance(info, dict) or not isinstance(reward, int | float):
        return None
    stem = plain_stem(Path(file))
    domain = _DOMAIN.search(stem)
    number = trial.get("trial")
    repeat = number if isinstance(number, int) and number >= 0 else 0
    return ForeignRunLog(
        source=f"{stem}/{trial['task_id']}/{repeat}",
        content=trial,
        messages=tuple(map(_said, messages)),
        model=UNKNOWN,
        tenant=FORMAT,
        agent=stem,
        suite=None if domain is None else domain[1],
        task=str(trial["task_id"]),
        repeat=repeat,
        labels=_labels(reward, info),
        group=stem,
    )


def _labels(reward: float, info: dict[str, Any]) -> dict[str, Any]:
    task = info.get("task")
    stated = {
        "user": task.get("user_id") if isinstance(task, dict) else None,
        "user_cost": info.get("user_cost"),
        "error": info.get("error"),
    }
    # The benchmark itself holds a trial for passed if its reward is 1 within a millionth.
    passed = abs(reward - 1) <= 1e-6
    return {"passed": passed, "reward": reward, **{k: v for k, v in stated.items() if v is not None}}


def _said(message: Message) -> Said:
    answer = next((part for part in message.parts if isinstance(part, ToolResponsePart)), None)
    return said(message, "ok" if answer is None else _status(answer.response))


def _status(text: str) -> CallStatus:
    if text.startswith("Unknown action"):
        return "unknown_tool"
    return "error" if text.startswith("Error") else "ok"
