"""The marker and the fixture, as a test suite uses them; and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

CONFTEST = """
import pytest
from harness.wire import pytest_support

def pytest_addoption(parser):
    parser.addoption("--record-now", action="store_true")

def pytest_configure(config):
    pytest_support.add_marker(config)

def pytest_collection_modifyitems(items):
    pytest_support.request_fixture(items)

@pytest.fixture
def cassette(request):
    yield from pytest_support.cassette_session(request, record=request.config.getoption("--record-now"))
"""
TESTS = """
import os, httpx, pytest

def ask(value):
    return httpx.post(os.environ["URL"] + "/echo", json={"q": value}, trust_env=False).json()["echo"]["q"]

@pytest.mark.cassette("suite/named")
def test_marked():
    assert ask(1) == 1

def test_fixture(cassette):
    assert ask(2) == 2
    assert cassette.count == 1

@pytest.mark.cassette("suite/changed")
def test_changed():
    try:
        ask(os.environ.get("CHANGED", "3"))
    except BaseException:
        pass
"""


def run_pytest(
    folder: Path, url: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    import os

    root = Path(__file__).parents[3]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:goldrun",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "URL": url, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_marked_tests_record_when_asked_and_replay_otherwise(server: Any, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)

    missing = run_pytest(tmp_path, server.url)
    recorded = run_pytest(tmp_path, server.url, "--record-now")
    calls = len(server.seen)
    replayed = run_pytest(tmp_path, server.url)
    changed = run_pytest(tmp_path, server.url, CHANGED="4")

    assert "3 errors" in missing.stdout
    assert "record it: pytest --golden-mode=record" in missing.stdout
    assert "3 passed" in recorded.stdout
    assert "3 passed" in replayed.stdout
    assert (calls, len(server.seen)) == (3, 3)
    assert "3 passed, 1 error" in changed.stdout
    assert "differs in $.q: '3' -> '4'" in changed.stdout
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jsonl"))
    assert files == [
        "cassettes/http/suite/changed.jsonl",
        "cassettes/http/suite/named.jsonl",
        "cassettes/http/test_it/test_fixture.jsonl",
    ]
