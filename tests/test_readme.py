"""Runs what README.md shows: each shell command and each Python block, as a reader would."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(
    r"^(?P<mark><!-- command: \w+ -->\n)?```(?P<language>bash|python)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXPECTED_CODES = {"goldrun diff": {0, 1}, "goldrun report": {0, 1}}
"""Commands whose exit code tells a finding; all others must exit 0."""


def _blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [m["body"] for m in _BLOCK.finditer(text) if m["language"] == language and not m["mark"]]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the checkout, with some run logs and traffic of other agents in it."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("golden", "cassettes", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    _write_run_logs(folder / "runs")
    _write_traffic(folder / "traffic")
    return folder


def _write_run_logs(folder: Path) -> None:
    folder.mkdir()
    runs = [
        {
            "path": f"runs/some-model/shop/user_task_{i}/none/none.json",
            "run": {
                "suite_name": "shop",
                "pipeline_name": "some-model",
                "user_task_id": f"user_task_{i}",
                "injection_task_id": None,
                "attack_type": None,
                "injections": {},
                "messages": [
                    {"role": "system", "content": "Help the user."},
                    {"role": "user", "content": f"Order tea number {i}."},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"function": "order", "args": {"item": f"tea {i}"}, "id": "c1"}],
                    },
                    {
                        "role": "tool",
                        "content": "ordered",
                        "tool_call_id": "c1",
                        "tool_call": {"function": "order", "args": {"item": f"tea {i}"}, "id": "c1"},
                        "error": None,
                    },
                    {"role": "assistant", "content": "Done.", "tool_calls": []},
                ],
                "error": None,
                "utility": True,
                "security": True,
                "duration": 1.5,
            },
        }
        for i in range(10)
    ]
    with gzip.open(folder / "shop.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(run) + "\n" for run in runs)


def _write_traffic(folder: Path) -> None:
    folder.mkdir()
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    text = (
        "version: 1\ninteractions:\n- request:\n    method: POST\n"
        "    uri: https://api.openai.com/v1/chat/completions\n"
        f"    headers: {{content-type: [application/json]}}\n    body: '{json.dumps(request)}'\n"
        "  response:\n    status: {code: 200, message: OK}\n    headers: {content-type: [application/json]}\n"
        f"    body: {{string: '{json.dumps(reply)}'}}\n"
    )
    (folder / "hello.yaml").write_text(text, encoding="utf-8")


def _environment() -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": python_path, "NO_COLOR": "1"}


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=300, check=False
    )


def test_every_python_block_runs_in_one_session(workplace: Path) -> None:
    script = workplace / "blocks.py"
    script.write_text("\n".join(_blocks("python")), encoding="utf-8")

    done = _run([sys.executable, str(script)], workplace)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "finish 1 It is on its way."
    assert (workplace / "runs.jsonl").is_file()


def test_every_shell_command_exits_as_it_should(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if not (workplace / "runs.jsonl").exists():
        test_every_python_block_runs_in_one_session(workplace)
    commands = [line for block in _blocks("bash") for line in block.splitlines() if line.strip()]
    monkeypatch.chdir(workplace)

    failed = []
    for line in commands:
        words = shlex.split(line)
        if words[0] == "goldrun":
            # In process: what a new process adds (start, exit code) has tests of its own, and costs a second each.
            code, output = run(words[1:]), "".join(capfd.readouterr())
        else:
            program = {"python": [], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}[words[0]]
            done = _run([sys.executable, *program, *words[1:]], workplace)
            code, output = done.returncode, done.stdout + done.stderr
        expected = next((codes for start, codes in EXPECTED_CODES.items() if line.startswith(start)), {0})
        if code not in expected:
            failed.append(f"{line}: exit code {code}\n{output[-4000:]}")

    assert len(commands) >= 10
    assert not failed, "\n".join(failed)
