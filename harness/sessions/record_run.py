"""Record one run of an agent whose calls are answered by channels; its child runs are recorded with it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from harness.errors import RecordingStopped
from harness.record.recorder import MemoryRuns
from harness.redaction.redactor import process_redactor
from harness.sessions.channels import Channels, RunChannels
from runtime.entry.agent import Agent
from runtime.entry.assemble import begin_run
from runtime.entry.request import Request, RunResult
from runtime.errors import UsageError
from runtime.execution.world import World
from runtime.journal.recording import Recording
from runtime.ports.models import ModelPort
from runtime.ports.prices import RateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecording:
    """A run that was recorded.

    Attributes:
        recording: What was recorded, child runs included; it has no end if the run was stopped.
        result: How the run ended.
    """

    recording: Recording
    result: RunResult


def record_run(
    agent: Agent,
    request: Request,
    channels: Channels,
    *,
    old: Recording | None = None,
    model: ModelPort | None = None,
    prices: RateSource | None = None,
) -> NewRecording:
    """Run an agent once and return its recording.

    Args:
        agent: What runs.
        request: What it is asked.
        channels: Who answers its tool calls and approvals.
        old: The recording that answers what is not carried out.
        model: Answers model calls, in place of the agent's own client.
        prices: Price table; the offline snapshot by default.

    Raises:
        UsageError: If there is no model, or the run cannot begin as asked.
        RecordingStopped: If nothing answers a call that may not be carried out; it was not carried out.
    """
    client = model or agent.client
    if client is None:
        raise UsageError(
            f"agent {agent.name!r} has no model client",
            next_step="name one with --script or --base-url, or set Agent.client",
        )
    runs = MemoryRuns()
    shared = RunChannels(channels, old, process_redactor(os.environ))
    world = World(model=client, prices=prices, wrap=runs.wrap)

    async def run() -> RunResult:
        driven = await begin_run(agent, request, world, known=shared.source)
        return await driven.run()

    with asyncio.Runner() as runner:
        try:
            result = runner.run(run())
        finally:
            runner.run(client.aclose())  # its connections belong to the loop that ends now
    if shared.stopped is not None:
        stopped: RecordingStopped = shared.stopped
        raise stopped
    return NewRecording(recording=runs.recording(), result=result)
