"""Every n-th write, sync, rename or open fails: a readable file or the documented error, and no hang."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.file_io import TEMPORARY
from harness.cassette.store import iter_recordings
from harness.record import ProductionRecorder, Settings
from harness.redaction.pseudonyms import KEY_FILE
from runtime.core.policy import Budget, Policy
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import GoldrunError
from runtime.testing import ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent

CALLS = ("write", "fsync", "replace", "open", "ftruncate", "unlink")
STEPS = 15
"""A run of 62 records: begin, end, and four for each step."""


class Faults:
    """Fails one call to the system, counted over all kinds, and short-writes where asked."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, fail_at: int | None, code: int, short: bool = False
    ) -> None:
        self.count = 0
        self.failed: str | None = None
        self._fail_at, self._code, self._short = fail_at, code, short
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **fields: Any) -> Any:
            self.count += 1
            if self.count != self._fail_at:
                return real(*args, **fields)
            self.failed = name
            if self._short and name == "write":
                return real(args[0], bytes(args[1])[: len(args[1]) // 2])
            raise OSError(self._code, os.strerror(self._code))

        return call


def attempt(folder: Path, on_failure: Any, durability: Any) -> RunResult | str:
    """Record one run, then close; return what it came to, or the error it was documented to give."""
    settings = Settings(on_failure=on_failure, durability=durability)
    try:
        recorder = ProductionRecorder(folder, settings=settings)
    except GoldrunError as error:
        return str(error)

    async def main() -> RunResult:
        return await run_agent_async(
            shop_agent(Shop(), policy=Policy(allow="any", loop=None), budget=Budget()),
            Request(prompt="sell", request_id="req_1"),
            model=ScriptedModel([*(calls(("stock", {"item": "apple"})) for _ in range(STEPS - 1)), "three"]),
            wrap=recorder.wrap,
            prices=Prices(),
        )

    try:
        return asyncio.run(asyncio.wait_for(main(), 60))
    except GoldrunError as error:
        return str(error)
    finally:
        recorder.close()


def points(tmp_path: Path, durability: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, fail_at=None, code=0)
        attempt(tmp_path / "probe", "fail_run", durability)
        return faults.count


@pytest.mark.filterwarnings("ignore:secrets get names that no other process:RuntimeWarning")
@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("on_failure", ["fail_run", "drop"])
@pytest.mark.parametrize(("code", "short"), [(errno.ENOSPC, False), (errno.EIO, False), (errno.ENOSPC, True)])
def test_no_fault_leaves_an_unreadable_file_or_hangs(
    tmp_path: Path,
    full: bool,
    say: Callable[[str], None],
    on_failure: str,
    durability: str,
    code: int,
    short: bool,
) -> None:
    total = points(tmp_path, durability)
    # The first and last points open, sync and rename; those in between are appends.
    chosen = (
        range(1, total + 1)
        if full
        else sorted({*range(1, 6), *range(6, total, 17), *range(total - 8, total + 1)})
    )
    hit: set[str | None] = set()

    for point in chosen:
        folder = tmp_path / str(point)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fail_at=point, code=code, short=short)
            result = attempt(folder, on_failure, durability)
        hit.add(faults.failed)

        kept = [p for p in folder.glob("*.*") if p.name != KEY_FILE]
        files = [p for p in kept if not p.name.endswith(TEMPORARY) and p.stat().st_size]
        recordings = list(iter_recordings(folder)) if files else []
        stops = {r.stop_reason for r in recordings}
        assert stops <= {"finish", "crashed", "internal_error"}, f"point {point}: {stops}"
        if isinstance(result, RunResult) and result.stop_reason == "finish" and result.error is None:
            assert stops <= {"finish"} or on_failure == "drop", f"point {point}, {faults.failed}: {stops}"
        if on_failure == "drop":
            assert isinstance(result, RunResult), f"point {point}: {result}"
            assert result.stop_reason == "finish", f"point {point}, {faults.failed}: {result.error}"

    assert {"write", "open"} <= hit
    say(f"{len(list(chosen))} of {total} points, {on_failure}, {durability}")
