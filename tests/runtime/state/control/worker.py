"""A process that works on a control file: says `ready`, waits for a line, does its job, prints one JSON document."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.control.approvals import Binding, approval_id
from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.ratelimit import RateRule
from runtime.core.effects import ToolResult
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore

NOW = 1000.0
CAP = Caps(nanos=500)
BINDING = Binding(
    tenant="acme",
    environment="prod",
    request_id="req_1",
    lane="1.approval0/1",
    tool="pay",
    args_hash="a1",
    policy_hash="p1",
)
RULE = BreakerRule(min_calls=1, cooldown_s=10.0, jitter=0.0, probe_ttl_s=60.0)
KEY = RunKey(tenant="acme", environment="prod", request_id="req_1")


def say(line: str) -> None:
    """Tell the test something."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def reserve(store: BlockingControlStore, me: int, count: int) -> Any:
    """Reserve one unit each time; give every third back, settle the others."""
    granted = kept = 0
    for n in range(count):
        name = f"{me}:{n}"
        scopes = (SpendScope(f"acme/prod/run/{me}"), SpendScope("acme/prod/day/1", CAP), SpendScope("*"))
        if store.reserve_spend(name, scopes, Amount(1), now=NOW, ttl_s=60.0).granted:
            granted += 1
            if granted % 3 == 0:
                store.release_spend(name, now=NOW)
            else:
                kept += 1
                store.settle_spend(name, Amount(1), now=NOW)
    return {"granted": granted, "kept": kept}


def hold(store: BlockingControlStore, me: int, count: int) -> Any:
    """Reserve and never settle."""
    scopes = (SpendScope("acme/prod/run/1"), SpendScope("acme/prod/day/1", CAP))
    for n in range(count):
        store.reserve_spend(f"{me}:{n}", scopes, Amount(10), now=NOW, ttl_s=60.0, estimate=Amount(7))
    store.claim("k", args_hash="a", owner="killed", now=NOW, lease_s=60.0)
    store.acquire_lease("l", cap=1, owner="killed", now=NOW, ttl_s=60.0)
    say("held")
    sys.stdin.readline()
    return None


def claim(store: BlockingControlStore, me: int, count: int) -> Any:
    """Claim many keys; report the wins."""
    won = []
    for n in range(count):
        answer = store.claim(f"k{n}", args_hash="a", owner=str(me), now=NOW, lease_s=60.0)
        if answer.verdict == "won":
            won.append(n)
            store.end_claim(
                f"k{n}",
                fencing=answer.claim.fencing,
                state="done",
                result=ToolResult(content=str(me)),
                now=NOW,
            )
    return won


def lease(store: BlockingControlStore, me: int, count: int) -> Any:
    """Take and give back slots; report the most that were taken, and the fencing numbers."""
    most, numbers = 0, []
    for _ in range(count):
        answer = store.acquire_lease("l", cap=3, owner=str(me), now=NOW, ttl_s=60.0)
        most = max(most, answer.live, store.count_leases("l", now=NOW))
        if answer.lease is not None:
            numbers.append(answer.lease.fencing)
            store.release_lease("l", fencing=answer.lease.fencing)
    return {"most": most, "numbers": numbers}


def probe(store: BlockingControlStore, me: int, count: int) -> Any:
    """Ask an open breaker whose cooldown is over."""
    asked = (store.ask_breaker("b", RULE, now=NOW, token=f"{me}:{n}") for n in range(count))
    return sum(verdict.allowed for verdict in asked)


def rate(store: BlockingControlStore, me: int, count: int) -> Any:
    """Take tokens at one moment."""
    return sum(store.take_rate("r", RateRule(37, 1.0), now=NOW).granted for _ in range(count))


def use(store: BlockingControlStore, me: int, count: int) -> Any:
    """Answer an approval, then try to use it."""
    decided = store.decide_approval(
        approval_id(BINDING), decision="granted", by=str(me), args_hash="a1", now=NOW
    )
    used = store.use_approval(approval_id(BINDING), binding=BINDING, now=NOW)
    return {"decided": decided.applied, "used": used.applied}


def run(store: BlockingControlStore, me: int, count: int) -> Any:
    """Deliver one request, then set its stop reason."""
    opened = store.open_run(Run(key=KEY, run_id=f"run_{me}", agent="support", started_at=NOW))
    stopped = store.stop_run(KEY, fencing=1, stop_reason="finish" if me % 2 else "operator_kill", now=NOW)
    assert stopped.run is not None
    return {
        "first": opened.first,
        "run": opened.run.run_id,
        "applied": stopped.applied,
        "stop": stopped.run.stop_reason,
    }


def scopes(store: BlockingControlStore, me: int, count: int) -> Any:
    """Reserve and settle over random scopes in random order."""
    draw = random.Random(me)
    done = 0
    for n in range(count):
        keys = draw.sample([f"acme/prod/run/{k}" for k in range(6)], draw.randint(1, 6))
        name = f"{me}:{n}"
        store.reserve_spend(name, tuple(SpendScope(key) for key in keys), Amount(1), now=NOW, ttl_s=60.0)
        done += store.settle_spend(name, Amount(1), now=NOW).applied
    return done


def settled(store: BlockingControlStore, me: int, count: int) -> Any:
    """End holds that others end too."""
    ends = (
        store.settle_spend(f"h{n}", Amount(1), now=NOW)
        if (n + me) % 2
        else store.release_spend(f"h{n}", now=NOW)
        for n in range(count)
    )
    return sum(end.applied for end in ends)


JOBS: dict[str, Callable[[BlockingControlStore, int, int], Any]] = {
    job.__name__: job for job in (reserve, hold, claim, lease, probe, rate, use, run, scopes, settled)
}


def main() -> None:
    """Do the job that the arguments name: job, file, number of this process, count."""
    job, path, me, count = sys.argv[1:]
    store = BlockingControlStore(SqliteControlStore(Path(path)))
    say("ready")
    sys.stdin.readline()
    say(json.dumps(JOBS[job](store, int(me), int(count))))
    store.close()


if __name__ == "__main__":
    main()
