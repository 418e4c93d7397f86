"""A working folder of its own, and a segment with three runs of a shop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.record import ProductionRecorder
from tests.harness.cli.commands.shop_runs import record_shop


@pytest.fixture
def working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    with ProductionRecorder(tmp_path / "recordings", worker="w") as recorder:

        async def main() -> None:
            await asyncio.gather(*(record_shop(recorder.wrap, f"req_{i}") for i in range(3)))

        asyncio.run(main())
    (path,) = (tmp_path / "recordings").glob("*.seg")
    return path
