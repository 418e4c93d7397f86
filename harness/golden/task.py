"""The task model of golden files (`golden/1`): input, policy, replay settings and expectations."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from harness.golden.rules.expect import Expect, Model, Text, Whole
from runtime.core.messages import Message, system_message, user_message
from runtime.documents.strict_yaml import Lines
from runtime.entry.policy_file import PolicySpec

SUFFIX = ".golden.yaml"
RECORDED = "recorded"
"""Value of `agent` for tasks that are replayed from the cassette alone, without agent code."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.@+=-]*)*\Z")
_FACTORY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")
_PYTEST_MARKS = frozenset({"filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xfail"})
_TAG = re.compile(r"[A-Za-z_][\w-]*\Z")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.match(value) is None:
            raise PydanticCustomError("form", "{text}", {"text": f"{value!r} is no {what}"})
        return value

    return AfterValidator(check)


def _no_mark_of_pytest(value: str) -> str:
    if value in _PYTEST_MARKS:
        text = f"{value!r} is a mark of pytest and would change what a failure counts as; tolerate one by quarantine"
        raise PydanticCustomError("tag", "{text}", {"text": text})
    return value


Name = Annotated[Text, _matching(_NAME, "name like suite/task (letters, digits, _ . - and /)")]


def _date(value: Any) -> Any:
    # Pydantic also accepts numbers as dates. A task file must hold a date as text.
    if isinstance(value, str | date):
        return value
    raise PydanticCustomError("date", "{text}", {"text": f"{value!r} is not a date like 2026-12-01"})


class InputMessage(Model):
    """One message before the first reply."""

    role: Literal["system", "user"]
    content: Text


class TaskInput(Model):
    """The agent's input. Tenant and environment are bound at entry and never chosen by the model."""

    prompt: Text | None = None
    messages: Annotated[tuple[InputMessage, ...], Field(min_length=1)] | None = None
    tenant: Text | None = None
    environment: Text | None = None
    request_id: Text | None = None
    seed: Whole | None = None

    @model_validator(mode="after")
    def _one_text(self) -> TaskInput:
        if self.prompt is not None and self.messages is not None:
            raise PydanticCustomError("input", "prompt and messages are both given; keep one of them")
        return self

    def to_messages(self) -> tuple[Message, ...]:
        """Return the messages before the first reply; empty if the task gives none."""
        if self.prompt is not None:
            return (user_message(self.prompt),)
        make = {"system": system_message, "user": user_message}
        return tuple(make[m.role](m.content) for m in self.messages or ())


class ToolMatch(Model):
    """How tool calls are matched; ignored paths like `args.request_time` are not compared."""

    ignore: tuple[Text, ...] = ()


class HttpAgent(Model):
    """An agent that is not built on this runtime: a function of the user's, called with the input's text."""

    http: Annotated[Text, _matching(_FACTORY, "function: write module:function")]


def _http_rules(value: Any) -> Any:
    from harness.wire.match_rules import match_rules
    from runtime.errors import UsageError

    try:
        match_rules(value, where="replay.match.http")
    except UsageError as fault:
        raise PydanticCustomError("match", "{text}", {"text": fault.what}) from fault
    return value


class MatchSpec(Model):
    """How replay matches effects with the cassette; `http` holds the rules for requests of an HTTP agent."""

    model: Literal["strict", "position", "last_message"] = "strict"
    tools: ToolMatch = ToolMatch()
    http: Annotated[dict[str, Any], AfterValidator(_http_rules)] | None = None


class ReplaySpec(Model):
    """The channels that are answered from the cassette, and how effects are matched."""

    model: Literal["recorded", "live"] = "recorded"
    tools: Literal["recorded", "live"] = "recorded"
    match: MatchSpec = MatchSpec()


class Quarantine(Model):
    """Why a task's failures are tolerated, by whom, and until when. An expired quarantine fails the task."""

    reason: Text
    owner: Text
    until: Annotated[date, BeforeValidator(_date, json_schema_input_type=date)]

    def is_expired(self, today: date) -> bool:
        """Return whether the quarantine's last day has passed."""
        return today > self.until


class GoldenTask(Model):
    """One golden task: an input with expectations, read from `<task>.golden.yaml`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, title="goldrun golden task")

    schema_: Literal["golden/1"] = Field(alias="schema")
    task: Name
    tags: tuple[
        Annotated[
            Text,
            _matching(_TAG, "tag (a letter, then letters, digits, _ and -)"),
            AfterValidator(_no_mark_of_pytest),
        ],
        ...,
    ] = ()
    agent: (
        HttpAgent
        | Annotated[
            Text,
            _matching(
                re.compile(rf"{RECORDED}\Z|{_FACTORY.pattern}"),
                "agent: write module:factory, {http: module:function}, or recorded",
            ),
        ]
    )
    input: TaskInput = TaskInput()
    cassette: Name | None = None
    policy: PolicySpec | None = None
    replay: ReplaySpec = ReplaySpec()
    expect: Expect = Field(default_factory=Expect.model_construct)
    quarantine: Quarantine | None = None
    approvals: dict[Text, Literal["grant", "deny", "timeout"]] = Field(default_factory=dict)
    """Answers to approvals while the task is recorded, by tool."""
    stand_ins: dict[Text, Annotated[Text, _matching(_FACTORY, "function: write module:function")]] = Field(
        default_factory=dict
    )
    """Functions that answer in place of tools while the task is recorded, by tool."""

    _path: Path = PrivateAttr(default=Path())
    _shown: Path = PrivateAttr(default=Path())
    _lines: Lines = PrivateAttr(default=Lines(1))

    @model_validator(mode="after")
    def _has_input(self) -> GoldenTask:
        if self.agent != RECORDED and self.input.prompt is None and self.input.messages is None:
            raise PydanticCustomError("input", "the agent gets nothing; give input.prompt or input.messages")
        return self

    @property
    def path(self) -> Path:
        """The file of the task."""
        return self._path

    @property
    def cassette_name(self) -> str:
        """Name of the cassette under `cassettes/`; the task's own name if none is given."""
        return self.cassette or self.task

    @property
    def http_agent(self) -> str | None:
        """The function of an agent of another framework; `None` if the agent is one of this runtime."""
        return self.agent.http if isinstance(self.agent, HttpAgent) else None

    @property
    def factory(self) -> str:
        """The reference to the agent's code, or `recorded`."""
        return self.agent.http if isinstance(self.agent, HttpAgent) else self.agent

    @property
    def is_recorded(self) -> bool:
        """Whether the run is replayed from the cassette alone, without agent code."""
        return self.agent == RECORDED

    def line_of(self, rule: str | tuple[str | int, ...]) -> int:
        """Return the line (from 1) of a rule like `expect.tools.calls[0]`, or of the nearest parent field."""
        return self._lines.at(split_path(rule) if isinstance(rule, str) else rule)

    def where(self, rule: str | tuple[str | int, ...]) -> str:
        """Return `file:line` of a rule."""
        return f"{self._shown.as_posix()}:{self.line_of(rule)}"

    def bind(self, path: Path, lines: Lines) -> None:
        """Set the task's file and lines; the loader calls this once. Internal to goldrun."""
        self._path = self._shown = path
        self._lines = lines

    def stand_at(self, path: Path) -> None:
        """Set where the file is, beside the name that messages give it; the loader calls this. Internal to goldrun."""
        self._path = path


def split_path(rule: str) -> tuple[str | int, ...]:
    """Return the parts of a path like `expect.tools.calls[0].args`."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", rule)
    return tuple(int(index) if index else name for index, name in parts)
