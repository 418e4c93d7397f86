"""`goldrun record`: one verb for tasks, commands and the proxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.cli.main import app
from harness.wire.http_recording import read_http
from runtime.errors import UsageError

ROOT = Path(__file__).parents[3]
AGENT = "import sys, httpx; print(httpx.post(sys.argv[1] + '/echo', json={'q': '--x'}, trust_env=False).text)"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "record", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def call(*arguments: str) -> int:
    return int(app(["record", *arguments], standalone_mode=False))


def test_a_command_after_two_dashes_is_recorded_and_replayed(server: Any, tmp_path: Path) -> None:
    recorded = run("--", sys.executable, "-c", AGENT, server.url, cwd=tmp_path)
    path = tmp_path / "cassettes" / "http" / "recording-1.jsonl"
    replayed = run(
        "--replay", "--out", str(path), "--", sys.executable, "-c", AGENT, server.url, cwd=tmp_path
    )

    assert (recorded.returncode, replayed.returncode) == (0, 0), recorded.stderr + replayed.stderr
    assert recorded.stdout == replayed.stdout == '{"echo":{"q":"--x"}}\n'
    assert "recorded cassettes/http/recording-1.jsonl" in recorded.stderr
    assert len(server.seen) == 1


def test_a_command_without_traffic_is_warned_of(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "a"), "--", sys.executable, "-c", "raise SystemExit(5)", cwd=tmp_path)

    assert done.returncode == 5
    assert "no HTTP traffic was recorded" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--proxy", "suite/task"], ["suite/task", "--", "true"], ["--proxy", "--", "true"]]
)
def test_one_thing_is_recorded_at_a_time(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="name one thing"):
        call(*arguments)


def test_a_replay_needs_its_recording() -> None:
    with pytest.raises(UsageError, match="--replay needs the recording"):
        call("--replay", "--", "true")


def test_the_proxy_runs_until_it_is_stopped(server: Any, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "harness.cli.main",
        "record",
        "--proxy",
        "--upstream",
        f"local={server.url}",
        "--out",
        "a",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().partition(" -> ")[0]
        try:
            answer = httpx.post(base_url + "/echo", json={"q": 1}, trust_env=False).json()
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=30)
        finally:
            process.kill()

    assert answer == {"echo": {"q": 1}}
    assert code == 0
    assert base_url.endswith("/local")
    assert read_http(tmp_path / "a.jsonl").ended
