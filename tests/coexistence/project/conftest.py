"""A time limit for each test (what hangs is interrupted), and a file of what became of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

LIMIT_S = 20.0


@pytest.fixture
def server() -> str:
    """The URL of a server on loopback, the same for every run of the project and each of its workers."""
    return os.environ["SERVER"]


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """Interrupt a test that hangs. No library of the project touches signals."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append what became of each test to a file, for the comparison of two runs."""
    file = os.environ.get("OUTCOMES")
    if file and (report.when == "call" or report.outcome != "passed"):
        seen = dict(report.user_properties).get("seen", "")
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(f"{report.nodeid} {report.when} {report.outcome} {seen}\n")
