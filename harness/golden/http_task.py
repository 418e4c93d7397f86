"""Golden tasks of agents that are not built on this runtime: their own code runs, its HTTP traffic is replayed.

The agent is a function that is called with the input. What it sent and got back is lifted into a trace, which is
judged as any other. Its tools do run, but for those under `harness.recorded_tool`. What only our own flow can do,
such as resuming and approvals by the task, is refused for these tasks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.file_io import replace_file
from harness.errors import CassetteError, TaskError
from harness.golden.http_cassette import HttpCassette
from harness.golden.load_code import importable, load_code
from harness.golden.project import Project
from harness.golden.task import GoldenTask
from harness.replay.divergence import Cause, EffectDivergence
from harness.sessions.recordings import iter_recordings
from harness.sessions.replay import RunReplay
from harness.wire.misses import Miss, Unanswered, WireMiss
from harness.wire.run_identity import RunIdentity
from runtime.core.lanes import lane
from runtime.core.messages import TextPart
from runtime.core.trace import Trace
from runtime.journal.recording import Recording

_FIRST_USE = "several conversations with a model: the first one is judged, of {}"
_VERDICTS = {"repeated": "repeated", "changed": "changed"}


def read_http_run(path: Path) -> Recording:
    """Return the recorded run of an HTTP cassette: its first conversation.

    Raises:
        CassetteError: If it is damaged or holds no conversation.
    """
    found = next(iter_recordings(path), None)
    if found is None:
        raise CassetteError(
            "the recording holds no conversation with a model whose dialect is known",
            where=str(path),
            next_step=f"see what it holds with `goldrun lift {path}`",
        )
    return found


def replay_http_task(task: GoldenTask, project: Project, recording: Recording) -> RunReplay:
    """Run the agent's code with its traffic answered from the cassette.

    Raises:
        TaskError: If the agent cannot be loaded, raises, or talks to no model.
        CassetteError: If the cassette is damaged.
    """
    session = HttpCassette(project.cassette_path(task), mode="replay", match=task.replay.match.http)
    raised, traces, unused = _run(session, _function(task), task)
    misses = session.misses
    if raised is not None and not misses:
        raise TaskError(
            f"the agent raised {type(raised).__name__}: {raised}",
            where=task.where("agent"),
            next_step="run it by itself under `harness.record_http(..., mode='replay')`",
        ) from raised
    divergences = _divergences(misses, unused, tainted=raised is not None or bool(misses))
    return RunReplay(
        recording=recording,
        verdict="diverged" if divergences else "same",
        divergences=divergences,
        trace=traces[0] if traces else msgspec.structs.replace(recording.trace(), steps=(), output=None),
        effects=session.count,
        warnings=(_FIRST_USE.format(len(traces)),) if len(traces) > 1 else (),
    )


def _run(
    session: HttpCassette, function: Callable[..., Any], task: GoldenTask
) -> tuple[BaseException | None, tuple[Trace, ...], tuple[int, ...]]:
    """Run the agent in a replay; return what it raised, its traces, and the exchanges it did not ask for."""
    raised: BaseException | None = None
    traces: tuple[Trace, ...] = ()
    unused: tuple[int, ...] = ()
    try:
        with session:
            try:
                _call(function, task)
            except (Exception, SystemExit, Unanswered) as error:  # noqa: BLE001  # the agent is code of the user
                raised = error
            traces, unused = session.traces, session.unused
    except WireMiss:
        pass  # the caller reports the session's misses
    return raised, traces, unused


def record_http_task(task: GoldenTask, project: Project, *, deploy: str | None = None) -> tuple[Path, Trace]:
    """Run the agent's code for real and write its cassette, in place of an earlier one once it is whole.

    Raises:
        TaskError: If the agent cannot be loaded, raises, or talks to no model.
        CassetteError: If the cassette cannot be written.
    """
    with importable(project.root):
        return _recorded(task, project, _function(task), deploy)


def _recorded(
    task: GoldenTask, project: Project, function: Callable[..., Any], deploy: str | None
) -> tuple[Path, Trace]:
    path = project.cassette_path(task)
    new = path.with_name(f"{path.name}.recording.jsonl")
    identity = RunIdentity(
        agent=task.http_agent,
        deploy=deploy,
        task=task.task,
        tenant=task.input.tenant or "golden",
        environment=task.input.environment or "test",
        request_id=task.input.request_id or f"req_golden_{task.task.replace('/', '_')}",
    )
    new.unlink(missing_ok=True)
    try:
        with HttpCassette(new, mode="record", match=task.replay.match.http, identity=identity) as session:
            _call(function, task)
            traces = session.traces if session.count else ()
        if not traces:
            raise TaskError(
                "the agent talked to no model whose dialect is known",
                where=task.where("agent"),
                next_step="see how its client is reached in docs/existing-agents.md",
            )
        with replace_file(path, overwrite=True) as file:
            file.write(new.read_bytes())
    except (Exception, SystemExit) as error:
        if isinstance(error, TaskError | CassetteError):
            raise
        raise TaskError(
            f"the agent raised {type(error).__name__}: {error}", where=task.where("agent")
        ) from error
    finally:
        new.unlink(missing_ok=True)
    return path, traces[0]


def _function(task: GoldenTask) -> Callable[..., Any]:
    assert task.http_agent is not None
    found = load_code(task.http_agent, where=task.where("agent"), error=TaskError)
    if not callable(found):
        raise TaskError(
            f"{task.http_agent!r} is {type(found).__name__}, not a function",
            where=task.where("agent"),
            next_step="name a function that takes the prompt",
        )
    made: Callable[..., Any] = found
    return made


def _call(function: Callable[..., Any], task: GoldenTask) -> None:
    """Call the agent in a fresh context; a coroutine is run to its end."""
    prompt = task.input.prompt
    given: Any = prompt if prompt is not None else [_plain(message) for message in task.input.to_messages()]

    def run() -> None:
        result = function(given)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))

    # A copy of today's context holds the recording; what the agent binds in it is gone afterwards.
    copy_context().run(run)


async def _awaited(result: Any) -> Any:
    return await result


def _plain(message: Any) -> dict[str, str]:
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    return {"role": message.role, "content": text}


def _divergences(
    misses: tuple[Miss, ...], unused: tuple[int, ...], *, tainted: bool
) -> tuple[EffectDivergence, ...]:
    found = [_divergence(miss, tainted=number > 0) for number, miss in enumerate(misses)]
    found += [
        EffectDivergence(
            step=number,
            lane=lane(number, "http"),
            kind="http",
            name=None,
            verdict="missing",
            cause="count",
            summary=f"exchange {number} was not asked for",
            tainted=tainted,
        )
        for number in unused
    ]
    return tuple(found)


def _divergence(miss: Miss, *, tainted: bool) -> EffectDivergence:
    step = miss.nearest if miss.nearest is not None else max(miss.call - 1, 0)
    cause: Cause = miss.cause  # type: ignore[assignment]  # misses use the same words
    return EffectDivergence(
        step=step,
        lane=lane(step, "http"),
        kind="http",
        name=miss.url,
        verdict=_VERDICTS.get(miss.verdict, "extra"),  # type: ignore[arg-type]  # the literals above
        path=miss.path,
        cause=cause,
        recorded=miss.recorded,
        replayed=miss.sent,
        summary=miss.detail,
        tainted=tainted,
    )
