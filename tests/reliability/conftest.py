"""Counts of the reliability tests: small by default, full with `GOLDRUN_FULL=1` (`nox -s reliability`)."""

import sys
from collections.abc import Callable

import pytest

from tests.support.counts import FULL


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the full counts were asked for."""
    return FULL


@pytest.fixture
def say(full: bool) -> Callable[[str], None]:
    """Tell the figures of a full run, which `pytest -s` shows."""

    def tell(text: str) -> None:
        if full:
            sys.stdout.write(f"\n{text}\n")

    return tell
