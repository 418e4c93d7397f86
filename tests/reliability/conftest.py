"""Counts of the reliability tests: small by default, full with `GOLDRUN_FULL=1` (`nox -s reliability`)."""

import os

import pytest

FULL = os.environ.get("GOLDRUN_FULL") == "1"


@pytest.fixture(scope="session")
def full() -> bool:
    return FULL
