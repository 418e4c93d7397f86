"""Record runs in memory, and change recordings as a code or world change would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from harness.record.recorder import MemoryRuns, memory_wrap
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Record, raw
from runtime.testing import FakeClock, ScriptedModel
from tests.support.agents import Prices

REQUEST = Request(prompt="sell me fruit", request_id="req_1", tenant="acme", environment="test", seed=3)


def record(
    agent: Agent, script: list[Any], request: Request = REQUEST, **ports: Any
) -> tuple[RunResult, Recording]:
    """Run an agent on a script and return the run with its recording."""
    result, sink = record_to_sink(agent, script, request, **ports)
    return result, sink.recording()


def record_to_sink(
    agent: Agent, script: list[Any], request: Request = REQUEST, *, redact: bool = True, **ports: Any
) -> tuple[RunResult, MemoryRuns]:
    """Run an agent on a script and return the run with its records."""
    sink, wrap = memory_wrap(redact=redact)
    model = ScriptedModel(script)
    clock = ports.pop("clock", None) or FakeClock()
    result = asyncio.run(
        run_agent_async(agent, request, model=model, wrap=wrap, prices=Prices(), clock=clock, **ports)
    )
    return result, sink


def changed(sink: MemoryRuns, change: Callable[[Record], Record | None]) -> Recording:
    """Return the recording after a change of its records; a record changed to `None` is left out.

    The end's trace hash is left out, as it is of the recording before the change.
    """
    records = [found for record in sink.records if (found := change(record)) is not None]
    end = msgspec.json.decode(records[-1].outcome)
    end.pop("trace_hash", None)
    records[-1] = msgspec.structs.replace(records[-1], outcome=raw(end))
    return recording_of(records, source="changed")


def with_outcome(record: Record, **fields: Any) -> Record:
    """Return an outcome record whose outcome has other fields."""
    outcome = {**msgspec.json.decode(record.outcome), **fields}
    return msgspec.structs.replace(record, outcome=raw(outcome))
