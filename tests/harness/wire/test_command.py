"""Commands recorded from outside: child processes without a change of their code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.wire.command import child_environment, run_command
from harness.wire.http_recording import read_http
from runtime.errors import UsageError

AGENT = """
import os, subprocess, sys, httpx
url = sys.argv[1]
for value in sys.argv[2:]:
    if value == "child":
        subprocess.run([sys.executable, __file__, url, "fromchild"], check=True)
    elif value == "fork":
        pid = os.fork()
        if pid == 0:
            httpx.post(url + "/echo", json={"q": "forked"}, trust_env=False)
            os._exit(0)
        os.waitpid(pid, 0)
    elif value == "die":
        os.kill(os.getpid(), 9)
    elif value == "fail":
        sys.exit(7)
    else:
        print(httpx.post(url + "/echo", json={"q": value}, trust_env=False).json()["echo"]["q"])
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    return path


def asked(path: Path) -> list[str]:
    return [json.loads(str(e.request.body))["q"] for e in read_http(path).exchanges]


def command(agent: Path, server: Any, *values: str) -> list[str]:
    return [sys.executable, str(agent), server.url, *values]


def test_a_command_is_recorded_and_replayed_with_the_server_down(
    server: Any, tmp_path: Path, agent: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    recorded = run_command(command(agent, server, "a", "b"), path)
    live = capfd.readouterr().out
    server.shutdown()
    server.server_close()
    replayed = run_command(command(agent, server, "a", "b"), path, mode="replay")

    assert (recorded.exit_code, recorded.files) == (0, (path,))
    assert asked(path) == ["a", "b"]
    assert read_http(path).ended
    assert replayed.exit_code == 0
    assert capfd.readouterr().out == live == "a\nb\n"


def test_a_miss_makes_the_exit_code_1(
    server: Any, tmp_path: Path, agent: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    run_command(command(agent, server, "a"), path)

    done = run_command(command(agent, server, "b"), path, mode="replay")

    assert done.exit_code == 1
    assert "differs in $.q: 'a' -> 'b'" in capfd.readouterr().err
    assert len(server.seen) == 1


def test_child_and_forked_processes_have_files_of_their_own(server: Any, tmp_path: Path, agent: Path) -> None:
    done = run_command(command(agent, server, "before", "child", "fork", "after"), tmp_path / "r.jsonl")

    assert done.exit_code == 0
    assert sorted(asked(file) for file in done.files) == [["before", "after"], ["forked"], ["fromchild"]]


def test_a_killed_process_leaves_a_readable_recording(server: Any, tmp_path: Path, agent: Path) -> None:
    done = run_command(command(agent, server, "a", "b", "die"), tmp_path / "r.jsonl")

    assert done.exit_code == 128 + signal.SIGKILL
    file = read_http(tmp_path / "r.jsonl")
    assert len(file.exchanges) == 2
    assert not file.ended


def test_the_exit_code_is_the_commands_own(server: Any, tmp_path: Path, agent: Path) -> None:
    assert run_command(command(agent, server, "a", "fail"), tmp_path / "r.jsonl").exit_code == 7


def test_a_command_without_traffic_writes_nothing(tmp_path: Path) -> None:
    done = run_command([sys.executable, "-c", "print(1)"], tmp_path / "r.jsonl")

    assert done.files == ()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("mine")

    with pytest.raises(UsageError, match="there already"):
        run_command([sys.executable, "-c", ""], tmp_path / "r.jsonl")


def test_an_unknown_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no program 'no-such-program'"):
        run_command(["no-such-program"], tmp_path / "r.jsonl")


def test_a_sitecustomize_of_the_environment_still_runs(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('own sitecustomize')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(own), os.environ.get("PYTHONPATH", "")])}

    told = child_environment(environment, tmp_path / "r.jsonl", mode="record", redact=True, pace=0.0)
    done = subprocess.run([sys.executable, "-c", "print('agent')"], env=told, capture_output=True, text=True)

    assert done.stdout == "own sitecustomize\nagent\n"
    assert done.stderr == ""
