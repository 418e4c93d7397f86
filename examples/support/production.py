"""The support agent as a service: keys, a control store, a tenant's daily budget, approvals from another terminal.

`python -m examples.support.production KEY "Where is my order 7301?"` runs one request under everything a
production service has. A refund waits for `goldrun ops approve` (see `goldrun ops approvals`), or for its time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from examples.loopback import loopback_model
from examples.support.agent import ALLOWED, build
from harness import Recorder
from runtime import (
    Caps,
    ControlRules,
    GoldrunError,
    Governor,
    LogSink,
    Policy,
    Principal,
    RateRule,
    Request,
    RunResult,
    Service,
    SqliteControlStore,
)

KEYS = {
    "key-acme": Principal(name="acme's shop", tenant="acme", environment="prod"),
    "key-globex": Principal(name="globex' shop", tenant="globex", environment="prod"),
}
"""Who may ask. A real service looks a hash of the key up in its own store."""

RULES = ControlRules(
    tool_slots={"carrier.track": 4},
    tool_rates={"refund.create": RateRule(limit=20, window_s=60.0)},
    tenant_day=Caps(nanos=2_000_000_000),
)
"""For each tenant: four carrier calls at a time, twenty refunds a minute, two dollars a day."""


async def authenticate(credentials: str) -> Principal | None:
    """Return who holds a key."""
    return KEYS.get(credentials)


async def serve(
    prompt: str, *, key: str, folder: Path, request_id: str | None = None, approval_s: float = 60.0
) -> RunResult:
    """Run one request as the service does and return how it ended.

    Args:
        prompt: The customer's words.
        key: Their API key.
        folder: Where the control store and the journal are.
        request_id: The client's own id; a second delivery gets the first run.
        approval_s: How long a refund waits for its approval, in seconds.

    Raises:
        RefusedError: If the key is not known.
    """
    store = SqliteControlStore(folder / "goldrun-control.db")
    policy = Policy(allow=ALLOWED.allow, approve=ALLOWED.approve, approval_timeout_s=approval_s)
    try:
        with loopback_model("examples.support") as model, Recorder(folder / "runs.jsonl") as recorder:
            service = Service(
                governor=Governor(store, RULES),
                authenticate=authenticate,
                model=model,
                wrap=recorder.wrap,
                sinks=[LogSink()],
            )
            return await service.run(
                build(), Request(prompt=prompt, request_id=request_id, policy=policy), credentials=key
            )
    finally:
        store.close()


def main(arguments: list[str] | None = None) -> int:
    """Run one request and print how it ended."""
    parser = argparse.ArgumentParser(prog="python -m examples.support.production", description=__doc__)
    parser.add_argument("key", help="API key: key-acme or key-globex")
    parser.add_argument("prompt")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where control store and journal are kept"
    )
    parser.add_argument(
        "--approval-s", type=float, default=60.0, help="how long a refund waits for its approval"
    )
    chosen = parser.parse_args(arguments)
    asked = serve(chosen.prompt, key=chosen.key, folder=chosen.folder, approval_s=chosen.approval_s)
    try:
        done = asyncio.run(asked)
    except GoldrunError as fault:
        sys.stderr.write(f"error: {fault}\n")
        return fault.exit_code
    sys.stdout.write(f"{done.output or '(no output)'}\n{done.request_id}: {done.stop_reason}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
