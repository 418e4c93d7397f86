"""`goldrun resume`: carry a run that a crash cut off to its end, under the guards it ran under."""

from __future__ import annotations

import asyncio
import importlib
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.cassette.remote import is_url
from harness.cassette.store import read_recording, split_target
from harness.cli.commands.replay import load_agent_code
from harness.cli.control_store import open_store
from harness.cli.model_source import model_from
from harness.cli.output import emit_json, say
from harness.sessions.once import ResumeMark, held
from harness.sessions.resume import World, resume_run
from harness.text import safe_text
from runtime.entry.run import RunResult
from runtime.entry.state import State
from runtime.errors import DataError, ExitCode, UsageError
from runtime.execution.governor import Governor
from runtime.execution.rules import ControlRules
from runtime.journal.recording import Recording
from runtime.ports.performers import PerformerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """What a run is carried on with.

    Attributes:
        agent: The agent's code: `module:factory`.
        out: Journal to write.
        store: The control store it ran under.
        rules: The service's limits across runs: `module:name` of a `ControlRules`.
        state: Folder of what runs keep and share.
        script: Policy that answers model calls on loopback: `module:function`.
        base_url: Endpoint that answers model calls.
        api_key_env: Variable that holds its key.
    """

    agent: str
    out: Path
    store: Path | None = None
    rules: str | None = None
    state: Path | None = None
    script: str | None = None
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"


def resume_target(target: str, asked: Resume, *, as_json: bool) -> int:
    """Resume a cut-off run; return the exit code."""
    if is_url(target):
        result = _resumed(read_recording(target), asked, mark=None)
    else:
        path, _ = split_target(target)
        with held(path):
            recording = read_recording(target)
            mark = ResumeMark(path, recording.header.run_id, out=asked.out)
            mark.check()
            result = _resumed(recording, asked, mark=mark)
    if isinstance(result.error, PerformerError):
        raise DataError(
            f"the run could not be recorded any further: {result.error}",
            where=str(asked.out),
            next_step="make room, then resume the run from this file",
        )
    if as_json:
        emit_json(
            {
                "schema": "goldrun.resume/1",
                "request_id": result.request_id,
                "stop_reason": result.stop_reason,
                "output": result.output,
                "journal": str(asked.out),
            }
        )
    else:
        reason = safe_text(result.stop_reason, 80)
        say(f"resumed {safe_text(result.request_id, 80)}: {reason} -> {asked.out}")
    return ExitCode.OK


def _resumed(recording: Recording, asked: Resume, *, mark: ResumeMark | None) -> RunResult:
    code = load_agent_code(asked.agent)
    rules = _rules(asked)
    with ExitStack() as stack:
        model = (
            stack.enter_context(model_from(asked.script, asked.base_url, asked.api_key_env)) or code.client
        )
        if model is None:
            raise UsageError(
                f"agent {code.name!r} has no model client", next_step="name one with --base-url or --script"
            )
        governor = None
        if asked.store is not None:
            governor = Governor(stack.enter_context(open_store(asked.store)), rules)
        state = None
        if asked.state is not None:
            state = State(asked.state)
            stack.callback(state.close)
        world = World(model=model, governor=governor, state=state)
        began = None if mark is None else mark.put
        return asyncio.run(resume_run(recording, code, world, out=asked.out, began=began))


def _rules(asked: Resume) -> ControlRules | None:
    """Return the limits that `module:name` names; the working folder is importable.

    Raises:
        UsageError: If they cannot be loaded, or there is no store that they could hold in.
    """
    if asked.rules is None:
        return None
    if asked.store is None:
        raise UsageError("--rules hold in a control store", next_step="name it with --store")
    module, _, name = asked.rules.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        rules = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--rules {asked.rules!r} cannot be loaded: {error}") from error
    if not isinstance(rules, ControlRules):
        raise UsageError(f"--rules {asked.rules!r} is {type(rules).__name__}, not runtime.ControlRules")
    return rules
