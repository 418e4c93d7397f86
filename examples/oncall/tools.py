"""The tools of the on-call agent, bound to one world."""

from __future__ import annotations

import asyncio
from typing import Literal

from examples.oncall.world import SILENT_HOSTS, Deploy, LogPage, Series, World
from runtime import Tool, ToolContext, ToolError, tool

PROBE_TIMEOUT_S = 0.05


def oncall_tools(world: World) -> tuple[Tool, ...]:
    """Return the tools that read and change a world."""
    return (*_reading(world), *_acting(world))


def _reading(world: World) -> tuple[Tool, ...]:
    @tool(name="metrics.query")
    async def query_metric(
        service: str, metric: Literal["p99_ms", "error_rate", "queue_depth"], minutes: int = 15
    ) -> Series:
        """Return a metric of a service over the last minutes, oldest value first."""
        return world.series(_known(world, service), metric, minutes)

    @tool(name="logs.search")
    async def search_logs(service: str, q: str, page: int = 1) -> LogPage:
        """Return one page of log lines that hold a text, and the number of the next page."""
        return world.logs(_known(world, service), q, page)

    @tool(name="deploy.list")
    async def list_deploys(service: str) -> list[Deploy]:
        """Return the last deploys of a service, newest first."""
        return world.deploys(_known(world, service))

    return query_metric, search_logs, list_deploys


def _acting(world: World) -> tuple[Tool, ...]:
    @tool(name="deploy.rollback", write=True, idempotent=True)
    async def roll_back_deploy(service: str, to: int, ctx: ToolContext) -> Deploy:
        """Run an earlier deploy of a service again."""
        numbers = [deploy.number for deploy in world.deploys(_known(world, service))]
        if to not in numbers[1:]:
            raise ToolError(f"{service} has no earlier deploy {to}; it has {numbers[1:]}.")
        return world.roll_back(service, to, ctx.idempotency_key)

    @tool(name="probe.run", timeout_s=PROBE_TIMEOUT_S)
    async def run_probe(host: str) -> dict[str, object]:
        """Ask a host for a sign of life; returns how long it took in milliseconds."""
        if host in SILENT_HOSTS:
            await asyncio.Event().wait()  # such a host never answers; only the tool's time limit ends this
        return {"host": host, "ms": 12}

    return roll_back_deploy, run_probe


def _known(world: World, service: str) -> str:
    if service not in world.services:
        raise ToolError(f"No service {service!r}. The services are {', '.join(world.services)}.")
    return service
