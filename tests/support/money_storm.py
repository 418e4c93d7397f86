"""A storm over random trees of runs: processes that are killed and resumed, switches that are pulled and put back.

What holds after it is checked from outside: by what a provider received, and by what the store has in its books.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.control.ledger import ScopeUse
from runtime.control.scopes import run_scope
from runtime.control.switches import Switch, SwitchRef
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import LoopbackProvider
from tests.support.run_trees import ENVIRONMENT, TENANT, Meter, cap_of

ROOT = Path(__file__).parents[2]
ROUNDS = 4
"""Each but the last kills."""

OFF = SwitchRef(scope="model", name="m1")


@dataclass
class Storm:
    """What came of it.

    Attributes:
        meter: What the provider received.
        uses: What the store has in its books, by root, once all holds have ended or lapsed.
        ended: What workers said of roots that they saw end.
        kills: Processes that were killed while they worked.
    """

    meter: Meter
    uses: dict[str, ScopeUse] = field(default_factory=dict)
    ended: list[dict[str, Any]] = field(default_factory=list)
    kills: int = 0

    def check(self) -> None:
        """Check that no root passed its cap, and that its books are those of what was sent."""
        for root, use in self.uses.items():
            cap, sent = cap_of(root), self.meter.peak[root]
            facts = (root, cap, sent, use)
            assert sent <= cap, facts
            assert use.held.nanos == 0, facts
            assert self.meter.billed[root] <= use.spent.nanos <= cap, facts
        for fact in self.ended:
            if fact["spent"] is not None:
                # A run that nothing interrupted has in its own books what the store has.
                assert self.uses[fact["root"]].spent.nanos <= fact["spent"], fact

    @property
    def figures(self) -> str:
        """What happened, in a line."""
        stops = Counter(fact["stop"] for fact in self.ended)
        calls = sum(self.meter.received.values())
        used = sum(self.meter.peak.values()) / max(1, sum(map(cap_of, self.uses)))
        books = [f["spent"] - self.uses[f["root"]].spent.nanos for f in self.ended if f["spent"] is not None]
        same = f"{books.count(0)} of {len(books)} runs have the store's books to the nano-dollar"
        head = f"{len(self.uses)} roots, {calls} calls, {self.kills} kills, {used:.0%} of caps sent"
        return f"{head}; {same}; {dict(stops)}"


def storm(folder: Path, *, processes: int, roots: int, seed: int, greedy: bool) -> Storm:
    """Run it: workers, most of them killed; then resumed and killed again, twice; then resumed to the end."""
    chance = random.Random(seed)
    names = [f"root{seed}x{n}" for n in range(roots)]
    path = folder / "control.db"
    store = BlockingControlStore(SqliteControlStore(path))
    meter = Meter(seed, greedy=greedy)
    result = Storm(meter)
    with LoopbackProvider(meter) as provider:
        for round_ in range(ROUNDS):
            left = names if round_ == 0 else _unfinished(names, result)
            job = "work" if round_ == 0 else "resume"
            numbers = [seed + k if round_ == 0 else round_ for k in range(processes)]
            begun = [
                _begin(job, path, provider.base_url, folder, numbers[k], left[k::processes])
                for k in range(processes)
                if left[k::processes]
            ]
            victims = [each for each in begun if round_ < ROUNDS - 1 and chance.random() < 0.85]
            _disturb(begun, victims, store, chance, result)
    now = time.time() + 100 * 3_600
    store.expire_spend(now=now)
    scopes = tuple(run_scope(TENANT, ENVIRONMENT, name) for name in names)
    result.uses = dict(zip(names, store.read_spend(scopes, now=now), strict=True))
    store.close()
    return result


def _unfinished(names: list[str], result: Storm) -> list[str]:
    done = {fact["root"] for fact in result.ended}
    return [name for name in names if name not in done]


def _begin(job: str, path: Path, url: str, folder: Path, number: int, roots: list[str]) -> Any:
    command = [sys.executable, "-m", "tests.support.run_trees", job, str(path), url, str(folder), str(number)]
    return subprocess.Popen([*command, *roots], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _disturb(
    begun: list[Any],
    victims: list[Any],
    store: BlockingControlStore,
    chance: random.Random,
    result: Storm,
) -> None:
    """Kill the victims at some moment, pull a switch now and then, and hear what the workers say."""
    for each in begun:
        assert json.loads(each.stdout.readline())["ready"]
    for victim in victims:
        try:
            victim.wait(timeout=chance.uniform(0.1, 0.7))
        except subprocess.TimeoutExpired:
            victim.kill()
            result.kills += 1
        store.put_switch(Switch(ref=OFF, by="storm", reason="test", at=0.0))
        store.clear_switch(OFF)
    for each in begun:
        said, _ = each.communicate(timeout=300)
        result.ended += [json.loads(line) for line in said.splitlines()]
