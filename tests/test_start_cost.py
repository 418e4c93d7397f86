"""Checks in new processes that what a user starts often loads none of the heavy packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TABLES = frozenset({"numpy", "pandas", "pyarrow"})
TEST_SIDE = frozenset({"deepdiff", "freezegun", "syrupy", "vcr"})
NETWORK = frozenset({"httpx", "requests", "openai", "anthropic"})

STARTS = {
    "import runtime": (
        ("-c", "import runtime"),
        TABLES | TEST_SIDE | NETWORK | {"genai_prices", "pydantic", "pytest"},
    ),
    "import harness": (
        ("-c", "import harness"),
        TABLES | TEST_SIDE | NETWORK | {"genai_prices", "pydantic", "pytest"},
    ),
    "load the plugin": (
        ("-c", "import harness.plugin"),
        TABLES | TEST_SIDE | NETWORK,
    ),
    "goldrun --version": (
        ("-m", "harness.cli.main", "--version"),
        TABLES | TEST_SIDE | NETWORK | {"genai_prices", "pydantic", "pytest"},
    ),
    "goldrun --help": (
        ("-m", "harness.cli.main", "--help"),
        TABLES | TEST_SIDE | NETWORK | {"genai_prices", "pydantic", "pytest"},
    ),
}


def loaded_packages(*arguments: str) -> set[str]:
    """Return the top-level packages that a new interpreter loads while it runs some arguments."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(re.findall(r"^import time:.*\| +(\w+)", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("start", STARTS)
def test_start_loads_no_heavy_package(start: str) -> None:
    arguments, heavy = STARTS[start]

    assert loaded_packages(*arguments) & heavy == set()


def test_a_heavy_package_would_be_seen() -> None:
    assert {"deepdiff", "json"} <= loaded_packages("-c", "import json, deepdiff.diff")


def test_help_names_the_commands() -> None:
    command = [sys.executable, "-m", "harness.cli.main", "--help"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)

    assert all(verb in done.stdout for verb in ("demo", "replay", "diff", "report", "test"))
