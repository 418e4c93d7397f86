"""Time `goldrun lift` beside vcrpy, which only reads the same files, and measure the memory of many files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import vcr.serialize
import yaml
from vcr.serializers import jsonserializer, yamlserializer

from harness.lift.lift import lift_file
from runtime.core.messages import ModelReply, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.openai_chat import encode_reply, encode_stream

RATE_TARGET = 2_000
MEMORY_TARGET_MB = 8.0
_FILES = 120
_STEPS = 3
_ROUNDS = 5
_HEADERS = {f"x-header-{n}": [f"value {n} of a header"] for n in range(18)}
_URL = "https://api.openai.com/v1/chat/completions"


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_rate_rows(folder), _memory_row(folder)]


def _rate_rows(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for suffix, serializer in ((".json", jsonserializer), (".yaml", yamlserializer)):
        paths = _recordings(folder / suffix[1:], _FILES, suffix)
        ours, peer = _interleaved(partial(_lift, paths), partial(_read, paths, serializer))
        rate, peer_rate = _FILES * _STEPS / ours, _FILES * _STEPS / peer
        rows.append(
            {
                "name": f"lift to exchanges and traces, vcrpy {suffix[1:].upper()}",
                "rate": round(rate),
                "target": RATE_TARGET,
                "unit": "exchanges/s a core",
                "ok": rate >= RATE_TARGET,
                "peers": f"vcrpy reads the same files, and no more, at {peer_rate:,.0f} exchanges/s",
            }
        )
    return rows


def _lift(paths: list[Path]) -> None:
    for path in paths:
        lift_file(path)


def _read(paths: list[Path], serializer: Any) -> None:
    for path in paths:
        vcr.serialize.deserialize(path.read_text(encoding="utf-8"), serializer)


def _interleaved(*works: Callable[[], object]) -> list[float]:
    """Return the least CPU seconds of each work, taken in turns so that all meet the same noise."""
    best = [float("inf")] * len(works)
    for _ in range(_ROUNDS):
        for place, work in enumerate(works):
            start = time.process_time()
            work()
            best[place] = min(best[place], time.process_time() - start)
    return best


def _memory_row(folder: Path) -> dict[str, Any]:
    few, many = (_peak_mb(_recordings(folder / f"m{n}", n, ".yaml")[0].parent) for n in (200, 800))
    grown = many - few
    return {
        "name": "lift --json, memory of 800 files over that of 200",
        "value": round(grown, 1),
        "target": MEMORY_TARGET_MB,
        "unit": "MB",
        "ok": grown <= MEMORY_TARGET_MB,
        "peers": f"{few:.0f} MB and {many:.0f} MB",
    }


def _peak_mb(folder: Path) -> float:
    """Return the peak resident memory of the command as a user runs it."""
    with Path(os.devnull).open("w") as nothing:
        command = [sys.executable, "-m", "harness.cli.main", "lift", str(folder), "--json"]
        process = subprocess.Popen(command, stdout=nothing, cwd=Path(__file__).resolve().parents[1])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"lift ended with {process.returncode}")
    return used.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _recordings(folder: Path, files: int, suffix: str) -> list[Path]:
    """Write recordings of a tool loop of three exchanges, the last one streamed."""
    folder.mkdir()
    paths = []
    for number in range(files):
        document = {"version": 1, "interactions": _interactions(number)}
        path = folder / f"run{number}{suffix}"
        text = json.dumps(document)
        if suffix == ".yaml":  # through JSON, or headers that are the same object become aliases
            text = yaml.dump(json.loads(text), Dumper=yaml.CSafeDumper, allow_unicode=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _interactions(number: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You help customers of a parcel service. Look things up first. " * 5},
        {"role": "user", "content": f"Question {number}: where is parcel {number * 7919}?"},
    ]
    found = []
    for step in range(_STEPS):
        if step < _STEPS - 1:
            call = ToolCallPart(
                id=f"call_{step}", name="parcel.track", arguments={"parcel": f"{number}-{step}"}
            )
            reply = ModelReply(
                parts=(call,), finish_reason="tool_call", usage=Usage(input_tokens=900, output_tokens=30)
            )
            found.append(_interaction(messages, json.dumps(encode_reply(reply, model="gpt-4o-mini"))))
            echo = encode_reply(reply, model="gpt-4o-mini")["choices"][0]["message"]
            messages = [
                *messages,
                echo,
                {"role": "tool", "tool_call_id": call.id, "content": "in depot 4 " * 40},
            ]
        else:
            said = ModelReply(parts=(TextPart("The parcel is in depot 4. " * 12),), finish_reason="stop")
            events = encode_stream(said, model="gpt-4o-mini", piece_chars=24)
            found.append(
                _interaction(messages, "".join(f"data: {event}\n\n" for event in events), stream=True)
            )
    return found  # fmt: skip


def _interaction(messages: list[dict[str, Any]], body: str, *, stream: bool = False) -> dict[str, Any]:
    kind = "text/event-stream" if stream else "application/json"
    request = {"method": "POST", "uri": _URL, "headers": _HEADERS}
    request["body"] = json.dumps({"model": "gpt-4o-mini", "messages": messages, "stream": stream})
    headers = {**_HEADERS, "content-type": [kind]}
    return {
        "request": request,
        "response": {"status": {"code": 200, "message": "OK"}, "headers": headers, "body": {"string": body}},
    }


if __name__ == "__main__":
    from benchmarks.run_all import main

    raise SystemExit(main(["bench_lift"]))
