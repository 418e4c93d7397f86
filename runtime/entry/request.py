"""A request, what its run came to, and a request id that was used before."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import get_args

from runtime.core.checking import Problems
from runtime.core.effects import Used
from runtime.core.messages import Message
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header, Source, Totals
from runtime.core.trace import Trace
from runtime.errors import UsageError
from runtime.ports.control_values import Run

_UNREADABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, lone surrogates and line separators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, in which world, and under which names; bound here, never chosen by the model.

    Attributes:
        prompt: The user's text, or the conversation so far.
        tenant: Whose run it is.
        environment: Which world: `prod`, `staging`, `test`, ...
        request_id: Finds the run; made here if not given.
        deploy: Version label that reports compare.
        source: What kind of execution this is.
        suite: Golden suite, if it is a golden task.
        task: Golden task, if it is one.
        repeat: Number of the repetition.
        parent: Request id of the run that starts this one.
        root: Request id of the outermost run.
        seed: Seeds the retry schedule; derived from the request id if not given.
        policy: In place of the agent's.
        budget: In place of the agent's.
        labels: Facts about the run.

    Raises:
        UsageError: If tenant, environment or request id is no text that can be stored and shown on one line.
    """

    prompt: str | Sequence[Message]
    tenant: str = "default"
    environment: str = "dev"
    request_id: str | None = None
    deploy: str | None = None
    source: Source = "prod"
    suite: str | None = None
    task: str | None = None
    repeat: int = 0
    parent: str | None = None
    root: str | None = None
    seed: int | None = None
    policy: Policy | None = None
    budget: Budget | None = None
    labels: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = Problems("Request")
        if not isinstance(self.prompt, str) and not _is_conversation(self.prompt):
            problems.add("prompt", self.prompt, "text, or a list of messages")
        for name in ("deploy", "suite", "task", "parent", "root"):
            problems.text(name, getattr(self, name), optional=True)
        problems.one_of("source", self.source, get_args(Source))
        problems.whole("repeat", self.repeat, at_least=0)
        problems.whole("seed", self.seed, at_least=0, optional=True)
        problems.instance("policy", self.policy, Policy, optional=True)
        problems.instance("budget", self.budget, Budget, optional=True)
        problems.instance("labels", self.labels, dict)
        problems.refuse()
        _check_name("tenant", self.tenant)
        _check_name("environment", self.environment)
        if self.request_id is not None:
            _check_name("request id", self.request_id)

    @classmethod
    def of(cls, header: Header) -> Request:
        """Return the request that a run with this header answers.

        All fields but the prompt have one name in both, so a new field cannot be forgotten here.
        """
        named = {f.name: getattr(header, f.name) for f in fields(cls) if f.name != "prompt"}
        return cls(prompt=header.input, **named)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run came to.

    Attributes:
        request_id: Finds the run.
        run_id: Names this execution.
        stop_reason: Why it ended, `kind` or `kind:subject`.
        output: The final text, if it finished.
        totals: What it used.
        trace: What happened.
        error: The exception, if the run died of a bug.
        spent: What it counts as in its parent's budget; `None` where its flow did not come to its end here.
    """

    request_id: str
    run_id: str
    stop_reason: str
    output: str | None
    totals: Totals
    trace: Trace
    error: Exception | None = None
    spent: Used | None = None


def _is_conversation(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(message, Message) for message in value)


class DuplicateRunError(UsageError):
    """A request id was delivered before.

    Attributes:
        run: The run of the first delivery, as the index knows it.
        conflict: Whether the first delivery asked for something else.
    """

    def __init__(self, run: Run, *, conflict: bool) -> None:
        self.run = run
        self.conflict = conflict
        when = "for another request" if conflict else "before"
        super().__init__(
            f"request id {run.key.request_id!r} was used {when}",
            next_step="send each request under an id of its own",
        )


def _check_name(what: str, name: str) -> None:
    """Refuse a name that no store and no log line could hold as it is.

    Raises:
        UsageError: If it is no text, or has control characters or lone surrogates.
    """
    if not isinstance(name, str):
        raise UsageError(f"the {what} is no text: {name!r}", next_step="give it as text")
    if name.isprintable():
        return
    found = next((c for c in name if unicodedata.category(c) in _UNREADABLE), None)
    if found is not None:
        raise UsageError(
            f"the {what} {name!r} holds the character U+{ord(found):04X}",
            next_step="use printable text: no control characters, line breaks or lone surrogates",
        )
