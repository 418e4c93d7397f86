"""Recognise AgentDojo's run logs: which task a run is of, and its messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

GUARDS = (
    "progent",
    "drift",
    "tool_filter",
    "repeat_user_prompt",
    "transformers_pi_detector",
    "spotlighting_with_delimiting",
)
"""Guards that AgentDojo pipelines name behind the model, as in `gpt-4o-2024-08-06-drift`."""


_PATH = re.compile(
    r"(?:^|/)(?P<pipeline>[^/]+)/(?P<suite>[^/]+)/(?P<user_task>[^/]+)/(?P<attack>[^/]+)/(?P<injection>[^/]+)\.json$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which task of which pipeline a run is of; `none` stands for no attack and no injection."""

    pipeline: str
    suite: str
    user_task: str
    attack: str
    injection: str

    @property
    def task(self) -> str:
        """The task's name in reports."""
        return f"{self.suite}/{self.user_task}/{self.attack}/{self.injection}"

    @property
    def model(self) -> str:
        """The pipeline's name without its guard."""
        guard = self.guard
        return self.pipeline if guard is None else self.pipeline.removesuffix(f"-{guard}")

    @property
    def guard(self) -> str | None:
        """The guard behind the model, if the pipeline names one."""
        return next((g for g in GUARDS if self.pipeline.endswith(f"-{g}")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRun:
    """A run of the format, recognised but not converted.

    Attributes:
        fields: AgentDojo's own fields.
        messages: Its messages, from `messages` or `conversations`.
        place: From the recorded path, else from the run's own fields.
        source: Recorded path, else made of the run's own fields; the same on every machine.
    """

    fields: dict[str, Any]
    messages: list[dict[str, Any]]
    place: Place
    source: str


def recognise(document: Any, *, file: str = "") -> ForeignRun | None:
    """Return the run a document holds; `None` if it is not a run of this format.

    Args:
        document: A run, or `{"path": ..., "run": {...}}`.
        file: Path of the file; its folders name the pipeline where they fit the run's own fields.
    """
    if not isinstance(document, dict):
        return None
    wrapped = isinstance(document.get("run"), dict)
    fields = document["run"] if wrapped else document
    messages = fields.get("messages") if "messages" in fields else fields.get("conversations")
    names = (fields.get("suite_name"), fields.get("user_task_id"))
    if not isinstance(messages, list) or not all(isinstance(name, str) for name in names):
        return None
    if not all(map(_is_message, messages)):
        return None
    recorded = document.get("path") if wrapped else None
    path = recorded if isinstance(recorded, str) else ""
    place = _place_of(path)
    if place is None:
        from_file = _place_of(file.replace("\\", "/"))
        place = (
            from_file if from_file and (from_file.suite, from_file.user_task) == names else _own_place(fields)
        )
        path = f"{place.pipeline}/{place.task}.json"
    return ForeignRun(fields=fields, messages=messages, place=place, source=path)


def message_text(content: Any) -> str:
    """Return the text of null, a string, or a list of text blocks."""
    if isinstance(content, list):
        return "\n".join(block["content"] for block in content)
    return content or ""


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") not in {"system", "user", "assistant", "tool"}:
        return False
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(b, dict) and isinstance(b.get("content"), str) for b in content):
            return False
    elif content is not None and not isinstance(content, str):
        return False
    calls = message.get("tool_calls") or []
    return isinstance(calls, list) and all(
        isinstance(c, dict) and isinstance(c.get("function"), str) for c in calls
    )


def _place_of(path: str) -> Place | None:
    found = _PATH.search(path)
    return None if found is None else Place(**found.groupdict())


def _own_place(fields: dict[str, Any]) -> Place:
    def name(key: str, missing: str) -> str:
        value = fields.get(key)
        return value if isinstance(value, str) and value else missing

    return Place(
        pipeline=name("pipeline_name", "unknown"),
        suite=name("suite_name", "unknown"),
        user_task=name("user_task_id", "unknown"),
        attack=name("attack_type", "none"),
        injection=name("injection_task_id", "none"),
    )
