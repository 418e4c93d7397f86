"""Random trees of runs that spend money, and the provider that sums what it received: an oracle outside of them.

As a program it is a worker: `work` runs trees until it is killed or done, `resume` carries on what another one left.
What a worker does follows from its seed; when things happen does not.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.cassette.store import iter_recordings
from harness.record import Recorder
from harness.sessions.resume import World as ResumeWorld
from harness.sessions.resume import resume_run
from runtime.core.canonical import canonical_bytes
from runtime.core.messages import Message, ModelReply, ModelRequest, Part, TextPart
from runtime.core.money import Rate, Usage, exact_usd
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import GoldrunError
from runtime.execution.clock import SystemClock
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.journal.recording import Recording
from runtime.models.openai_chat import OpenAIChat
from runtime.ports.tools import ToolContext
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls, fails, says
from runtime.testing.scripted import Turn
from runtime.tools.tool import Tool, tool

TENANT, ENVIRONMENT = "acme", "test"
RATES = {"m1": Rate(input=1_000_000, output=4_000_000), "m2": Rate(input=3_000_000, output=9_000_000)}
OUTPUT = 60
DEPTH = 2


class TreePrices:
    """List prices of the two models."""

    id = "tree prices"

    def rate(self, model: str, provider: str | None) -> Rate | None:
        """Return the rate."""
        return RATES.get(model)


def cap_of(root: str) -> int:
    """Return the nano-dollars a root may spend: a few calls' worth, another sum for each root."""
    return random.Random(root).randrange(1_300, 4_500)


class Meter:
    """Answers as a loopback provider's policy, and sums for each root what it may bill for what it received.

    A call counts with its worst case (input at list price, and all the output that was allowed) until its whole reply
    is made, and with what the reply reports from then on.

    Attributes:
        exposed: What may be billed, in nano-dollars, by root.
        peak: The most that it ever was, by root.
        billed: What is billed at least: whole replies.
        received: Calls by root.
    """

    def __init__(self, seed: int, *, greedy: bool) -> None:
        """Begin with nothing received; a greedy provider uses all the output it may, so nothing is ever taken back."""
        self._greedy = greedy
        self.exposed: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._slow = threading.Event()

    def __call__(self, request: ModelRequest) -> Turn:
        root = next(p.content for p in request.messages[0].parts if isinstance(p, TextPart))
        size = _tokens(request.messages) + _tokens(request.tools)
        allowed = next(int(str(v)) for n, v in request.parameters.items() if n.endswith("_tokens"))
        rate = RATES[request.model]
        with self._lock:
            draw = self._random.random()
            # A reply is never larger as input than what was reported as its output.
            parts = _reply(request, draw, allowed)
            output = allowed if self._greedy else self._random.randint(_size(parts), allowed)
            wait_s = self._random.choice((0.0, 0.0, 0.01, 0.03, 0.12))
        if draw < 0.08:
            return fails(
                "rate_limited", retryable=True, after_s=0.0
            )  # nothing was done, so nothing is billed
        with self._lock:
            self.received[root] += 1
            worst = rate.worst_case(input_tokens=size, output_tokens=allowed)
            self.exposed[root] += worst
            self.peak[root] = max(self.peak[root], self.exposed[root])
        self._slow.wait(wait_s)
        if draw < 0.24:
            return fails("unavailable", retryable=True, phase="connect" if draw < 0.16 else "stream")
        usage = Usage(input_tokens=size, output_tokens=output)
        with self._lock:
            cost = rate.cost(usage) or 0
            self.billed[root] += cost
            self.exposed[root] -= worst - cost
        return ModelReply(parts=parts, usage=usage)


def _tokens(value: Any) -> int:
    return -(-len(canonical_bytes(value)) // 8)


def _size(parts: tuple[Part, ...]) -> int:
    return _tokens(Message(role="assistant", parts=parts)) + 4


def _reply(request: ModelRequest, draw: float, allowed: int) -> tuple[Part, ...]:
    """Return some calls, or an answer where the output limit leaves no room for them."""
    turn = says("done")
    if request.tools and draw < 0.97:
        name = request.tools[int(draw * 1_000) % len(request.tools)].name
        turn = calls(*((name, {"n": int(draw * 1e6) + k}) for k in range(1 + int(draw * 100) % 3)))
    return turn.parts if _size(turn.parts) <= allowed else says("ok").parts


def tree(depth: int, chance: random.Random) -> Agent:
    """Return an agent whose tools look something up, or start agents below it, also several at one time."""
    below = tree(depth - 1, chance) if depth else None
    width = chance.randint(1, 3)

    @tool
    async def look(n: int) -> str:
        return f"seen {n}"

    @tool(children=True, timeout_s=chance.choice((0.05, 0.3, 5.0)))
    async def ask(n: int, ctx: ToolContext) -> str:
        assert ctx.child is not None
        assert below is not None
        root = ctx.request_id.partition("/")[0]
        ended = await asyncio.gather(*(ctx.child(below, root) for _ in range(width)))
        return " ".join(e.stop_reason for e in ended)

    tools: tuple[Tool, ...] = (look,) if below is None else (look, ask)
    return Agent(
        name=f"depth{depth}",
        model="m1",
        fallbacks=("m2",),
        tools=tools,
        max_output_tokens=OUTPUT,
        policy=Policy(loop=None, on_failure="tell"),
        budget=Budget(max_seconds=chance.choice((0.1, 0.5, 20.0)), max_steps=chance.choice((3, 8))),
        model_retry=RetryPolicy(attempts=2, first_s=0.001, ceiling_s=0.002),
        tool_retry=RetryPolicy(attempts=2, first_s=0.001, ceiling_s=0.002),
        model_timeout_s=chance.choice((0.05, 5.0)),
    )


def root_agent(root: str) -> Agent:
    """Return the agent of a root; the same in each process."""
    chance = random.Random(f"tree {root}")
    agent = tree(DEPTH, chance)
    budget = Budget(max_usd=exact_usd(cap_of(root)), max_steps=25, max_seconds=20.0)
    return Agent(**{name: getattr(agent, name) for name in agent.__dataclass_fields__} | {"budget": budget})


class Later(SystemClock):
    """A clock some hours ahead: what dead processes held has lapsed."""

    def __init__(self, hours: int) -> None:
        super().__init__()
        self._ahead = timedelta(hours=hours)

    def now(self) -> datetime:
        """Return the wall time some hours ahead."""
        return super().now() + self._ahead


def say(**facts: Any) -> None:
    """Tell the test one fact."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def begin(
    root: str, model: OpenAIChat, governor: Governor, recorder: Recorder
) -> Coroutine[Any, Any, RunResult]:
    """Return the run of a root, ready to be awaited."""
    return run_agent_async(
        root_agent(root),
        Request(prompt=root, request_id=root, tenant=TENANT, environment=ENVIRONMENT),
        model=model,
        governor=governor,
        prices=TreePrices(),
        wrap=recorder.wrap,
    )


async def work(store: Path, base_url: str, folder: Path, roots: list[str], seed: int) -> None:
    """Run the trees of some roots, four at a time; some are cancelled."""
    governor = Governor(SqliteControlStore(store), ControlRules(breaker=None, poll_s=0.05))
    model = OpenAIChat(base_url=base_url, stream=True)
    chance = random.Random(seed)

    async def one(root: str) -> None:
        with Recorder(folder / f"{root}.jsonl") as recorder:
            run = asyncio.ensure_future(begin(root, model, governor, recorder))
            if chance.random() < 0.15:
                asyncio.get_running_loop().call_later(0.2 * chance.random(), run.cancel)
            (result,) = await asyncio.gather(run, return_exceptions=True)
        if isinstance(result, BaseException):
            say(root=root, stop=type(result).__name__, spent=None)
        else:
            say(
                root=root, stop=result.stop_reason, spent=None if result.spent is None else result.spent.nanos
            )

    async def lane(mine: list[str]) -> None:
        for root in mine:
            await one(root)

    await asyncio.gather(*(lane(roots[k::4]) for k in range(4)))
    await model.aclose()
    governor.store.close()


def _cut_off(folder: Path, root: str) -> Recording | None:
    """Return the newest recording of a root; `None` if there is none."""
    for journal in sorted(folder.glob(f"{root}.*jsonl"), key=lambda path: -len(path.name)):
        for found in iter_recordings(journal):
            if found.header.parent is None:
                return found
    return None


async def resume(store: Path, base_url: str, folder: Path, roots: list[str], again: int) -> None:
    """Carry on the roots that a killed process left, some hours later."""
    governor = Governor(
        SqliteControlStore(store), ControlRules(breaker=None, poll_s=0.05), clock=Later(2 * again)
    )
    await governor.store.sweep_runs(now=governor.now())
    model = OpenAIChat(base_url=base_url, stream=True)
    for root in roots:
        try:
            found = _cut_off(folder, root)
            if found is None:  # its worker was killed before it began
                with Recorder(folder / f"{root}.{again * 'r'}.jsonl") as recorder:
                    result = await begin(root, model, governor, recorder)
                say(root=root, stop=result.stop_reason, spent=None)
                continue
            world = ResumeWorld(model=model, governor=governor, prices=TreePrices())
            out = folder / f"{root}.{again * 'r'}.jsonl"
            result = await resume_run(found, root_agent(root), world, out=out)
        except GoldrunError as error:
            say(root=root, stop=type(error).__name__, why=str(error)[:200], spent=None)
        else:
            say(root=root, stop=result.stop_reason, spent=None)
    await model.aclose()
    governor.store.close()


def main() -> None:
    """Do the job that the arguments name: job, store, provider, folder, number, roots."""
    job, store, base_url, folder, number, *roots = sys.argv[1:]
    say(ready=True)
    jobs = {"work": work, "resume": resume}
    asyncio.run(jobs[job](Path(store), base_url, Path(folder), roots, int(number)))


if __name__ == "__main__":
    main()
