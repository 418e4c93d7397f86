"""`goldrun resume`: finish a crashed run under the guards it ran under."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness.cassette.remote import is_url
from harness.cassette.store import split_target
from harness.cli.control_store import open_store
from harness.cli.model_source import open_model
from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.golden.load_code import build_agent, importable, load_code
from harness.sessions.once import ResumeMark, held
from harness.sessions.recordings import read_recording
from harness.sessions.resume import World, resume_run
from harness.text import safe_text
from runtime.entry.run import RunResult
from runtime.entry.state import State
from runtime.errors import DataError, ExitCode, UsageError
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.journal.recording import Recording
from runtime.ports.performers import PerformerError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOptions:
    """How a run is resumed.

    Attributes:
        agent: The agent's code: `module:factory`.
        out: Journal to write.
        store: The control store that the run used.
        rules: The service's limits across runs: `module:name` of a `ControlRules`.
        state: Folder of the service's state: memory, artifacts, cached results.
        script: Policy that answers model calls on loopback: `module:function`.
        base_url: Endpoint that answers model calls.
        api_key_env: Environment variable that holds the endpoint's key.
    """

    agent: str
    out: Path
    store: Path | None = None
    rules: str | None = None
    state: Path | None = None
    script: str | None = None
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"


def resume(
    target: Annotated[str, typer.Argument(help="The cut-off run: JOURNAL, or FILE#REQUEST_ID.")],
    agent: Annotated[str, typer.Option(help="The agent's code: module:factory.")],
    out: Annotated[Path, typer.Option(help="Journal to write the whole run to; it must not exist.")],
    script: Annotated[
        str | None, typer.Option(help="Answer model calls by this policy on loopback: module:function.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible endpoint.")] = None,
    api_key_env: Annotated[str, typer.Option(help="Variable that holds its key.")] = "OPENAI_API_KEY",
    store: Annotated[
        Path | None,
        typer.Option(
            envvar="GOLDRUN_CONTROL_STORE", help="The control store of the run; needed if it had one."
        ),
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="The service's limits across runs, a ControlRules: module:name.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of its state: memory, artifacts, cached results."
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Finish a crashed run, once; completed calls are not repeated."""
    options = ResumeOptions(
        agent=agent,
        out=out,
        store=store,
        rules=rules,
        state=state,
        script=script,
        base_url=base_url,
        api_key_env=api_key_env,
    )
    if is_url(target):
        result = _resume(read_recording(target), options, mark=None)
    else:
        path, _ = split_target(target)
        with held(path):
            recording = read_recording(target)
            mark = ResumeMark(path, recording.header.run_id, out=options.out)
            mark.check()
            result = _resume(recording, options, mark=mark)
    if isinstance(result.error, PerformerError):
        raise DataError(
            f"the run could not be recorded any further: {result.error}",
            where=str(options.out),
            next_step="make room, then resume the run from this file",
        )
    if json:
        emit_json(
            {
                "schema": "goldrun.resume/1",
                "request_id": result.request_id,
                "stop_reason": result.stop_reason,
                "output": result.output,
                "journal": str(options.out),
            }
        )
    else:
        reason = safe_text(result.stop_reason, 80)
        say(f"resumed {safe_text(result.request_id, 80)}: {reason} -> {options.out}")
    return ExitCode.OK


def _resume(recording: Recording, options: ResumeOptions, *, mark: ResumeMark | None) -> RunResult:
    with ExitStack() as stack:
        stack.enter_context(importable(Path.cwd()))
        code = build_agent(options.agent, where="--agent")
        rules = _load_rules(options)
        model = (
            stack.enter_context(open_model(options.script, options.base_url, options.api_key_env))
            or code.client
        )
        if model is None:
            raise UsageError(
                f"agent {code.name!r} has no model client", next_step="name one with --base-url or --script"
            )
        governor = None
        if options.store is not None:
            governor = Governor(stack.enter_context(open_store(options.store)).store, rules)
        state = None
        if options.state is not None:
            state = State(options.state)
            stack.callback(state.close)
        world = World(model=model, governor=governor, state=state)
        began = None if mark is None else mark.put
        return asyncio.run(resume_run(recording, code, world, out=options.out, began=began))


def _load_rules(options: ResumeOptions) -> ControlRules | None:
    """Return the limits that `module:name` names.

    Raises:
        UsageError: If they cannot be loaded, or no control store is named: the rules need one.
    """
    if options.rules is None:
        return None
    if options.store is None:
        raise UsageError("--rules hold in a control store", next_step="name it with --store")
    rules = load_code(options.rules, where="--rules")
    if not isinstance(rules, ControlRules):
        raise UsageError(
            f"{options.rules!r} is {type(rules).__name__}, not runtime.ControlRules",
            where="--rules",
            next_step="name a ControlRules that the module defines",
        )
    return rules
