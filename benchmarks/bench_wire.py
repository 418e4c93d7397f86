"""Time HTTP recording and replay through httpx beside plain httpx, a bare MockTransport and vcrpy."""

from __future__ import annotations

import gc
import http.server
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import vcr

from harness.wire.session import record_http

SIZES = (10, 100, 1_000, 5_000)
RECORD_TARGET_MS = 0.3
FIRST_BYTE_TARGET_MS = 1.0
MOCK_TARGET = 1.5
VCR_TARGET, VCR_BODY_TARGET = 50.0, 1_500.0
_CALLS = 200
_STREAMS = 24
_CHUNKS = 41
_SAMPLES = 3
_PAUSE_S = 0.005
_ANSWER = b'{"choices":[{"message":{"content":"' + b"The parcel was refunded. " * 78 + b'"}}]}'
_JSON = {"content-type": "application/json"}
_HEADERS = [("content-type", "application/json"), ("content-length", str(len(_ANSWER)))]


def body(number: int) -> dict[str, Any]:
    """Return a chat request of an agent in its second step, about 1.5 kB, different for each number."""
    parcel = str(number * 7919)
    call = {"name": "parcel.track", "arguments": f'{{"parcel":"{parcel}"}}'}
    return {
        "model": "gpt-4o",
        "max_tokens": 400,
        "messages": [
            {
                "role": "system",
                "content": "You help customers of a parcel service. Look things up first. " * 5,
            },
            {
                "role": "user",
                "content": f"Question {number}: where is parcel {parcel}? Refund it if it is lost.",
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": f"call_{number}", "type": "function", "function": call}],
            },
            {
                "role": "tool",
                "tool_call_id": f"call_{number}",
                "content": f"parcel {parcel}: lost in depot 4",
            },
        ],
        "tools": [_tool(name) for name in ("parcel.track", "kb.search", "ticket.create")],
    }


def _tool(name: str) -> dict[str, Any]:
    fields = {field: {"type": "string"} for field in ("parcel", "reason")}
    schema = {"type": "object", "properties": fields, "required": ["parcel"]}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Call {name}.", "parameters": schema},
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(200)
        if self.path == "/stream":
            self._stream()
            return
        for name, value in _HEADERS:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(_ANSWER)
        self.wfile.flush()

    def _stream(self) -> None:
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(_CHUNKS):
            data = b'data: {"choices":[{"delta":{"content":"word %d "}}]}\n\n' % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()
            time.sleep(_PAUSE_S)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        pass


@contextmanager
def _server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `ours`, `target`, `unit`, `ok` and what the peers took."""
    logging.getLogger("vcr").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        return [*_record_rows(Path(folder), url), *_replay_rows(Path(folder))]


def _record_rows(folder: Path, url: str) -> list[dict[str, Any]]:
    plain, ours = [], []
    for turn in range(7):
        plain.append(_calls(url))
        with record_http(folder / f"turn{turn}", mode="record"):
            ours.append(_calls(url))
    with vcr.use_cassette(str(folder / "turn.yaml"), record_mode="all"):
        peer = _calls(url)
    overhead = (median(ours) - median(plain)) * 1e3
    first_plain, first_ours = _interleaved(
        [lambda: _first_byte(url), lambda: _first_recorded(folder, url)], rounds=_STREAMS, typical=_quick
    )
    with vcr.use_cassette(str(folder / "first.yaml"), record_mode="all"):
        first_peer = median(_first_byte(url) for _ in range(3))
    delay = (first_ours - first_plain) * 1e3
    return [
        {
            "name": "record over HTTP, overhead of one exchange (CPU of the client)",
            "ours": round(overhead, 3),
            "target": RECORD_TARGET_MS,
            "unit": "ms",
            "ok": overhead <= RECORD_TARGET_MS,
            "peers": f"plain {median(plain) * 1e3:.2f} ms, vcrpy +{(peer - median(plain)) * 1e3:.2f} ms before saving",
        },
        {
            "name": "record over HTTP, delay of the first streamed byte",
            "ours": round(delay, 3),
            "target": FIRST_BYTE_TARGET_MS,
            "unit": "ms",
            "ok": delay <= FIRST_BYTE_TARGET_MS,
            "peers": f"plain {first_plain * 1e3:.1f} ms, vcrpy +{(first_peer - first_plain) * 1e3:.0f} ms",
        },
    ]


def _calls(url: str) -> float:
    """Return the CPU seconds of one call of a kept connection."""
    with httpx.Client() as client:
        client.post(f"{url}/chat", json=body(0))
        gc.collect()
        start = time.thread_time()  # the server runs in another thread
        for number in range(_CALLS):
            client.post(f"{url}/chat", json=body(number))
        return (time.thread_time() - start) / _CALLS


def _first_byte(url: str) -> float:
    with httpx.Client() as client:
        start = time.perf_counter()
        with client.stream("POST", f"{url}/stream", json=body(0)) as response:
            pieces = response.iter_raw()
            next(pieces)
            first = time.perf_counter() - start
            for _ in pieces:
                pass
        return first


def _first_recorded(folder: Path, url: str) -> float:
    with record_http(folder / "first", mode="record"):
        return _first_byte(url)


def _replay_rows(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for size in SIZES:
        path, yaml = folder / f"replay{size}.jsonl", folder / f"replay{size}.yaml"
        _make(path, size)
        mock, ours = _interleaved(
            [partial(_mock, size), partial(_replayed, path, size)],
            rounds=5 if size <= 1_000 else 3,
        )
        ratio = ours / mock
        rows.append(
            {
                "name": f"replay through httpx, bodies matched, {size} exchanges",
                "ours": round(ratio, 2),
                "target": MOCK_TARGET,
                "unit": "x a bare MockTransport",
                "ok": ratio <= MOCK_TARGET,
                "peers": f"{ours * 1e6:.0f} us / {mock * 1e6:.0f} us a call",
            }
        )
        if size == 1_000:
            _make_vcr(path, yaml)
            rows += _vcr_rows(path, yaml, size)
    return rows


def _vcr_rows(path: Path, yaml: Path, size: int) -> list[dict[str, Any]]:
    theirs, sampled, ours = _interleaved(
        [
            lambda: _vcr_whole(yaml, size),
            lambda: _vcr_sampled(yaml, size),
            lambda: _replayed(path, size),
        ],
        rounds=3,
    )
    return [
        _vcr_row("vcrpy default", VCR_TARGET, theirs, ours),
        _vcr_row("vcrpy with body matching (sampled)", VCR_BODY_TARGET, sampled, ours),
    ]


def _vcr_row(name: str, target: float, theirs: float, ours: float) -> dict[str, Any]:
    return {
        "name": f"replay through httpx, 1000 exchanges, against {name}",
        "ours": round(theirs / ours, 1),
        "target": target,
        "unit": "x less CPU",
        "ok": theirs / ours >= target,
        "peers": f"{theirs * 1e3:.2f} ms a call",
    }


def _respond(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers=_HEADERS, content=_ANSWER)


def _make(path: Path, size: int) -> None:
    """Record exchanges without a network."""
    from harness.wire.session import HttpSession
    from harness.wire.transports import RecordedTransport

    session = HttpSession(path, mode="record").open()
    transport = RecordedTransport(httpx.MockTransport(_respond), session)
    with httpx.Client(transport=transport) as client:  # type: ignore[arg-type]  # duck-typed
        for number in range(size):
            client.post("http://bench.test/chat", content=json.dumps(body(number)).encode(), headers=_JSON)
    session.close()


def _make_vcr(path: Path, yaml: Path) -> None:
    from harness.wire.export import export_vcr

    export_vcr(path, yaml)


def _mock(size: int) -> float:
    with httpx.Client(transport=httpx.MockTransport(_respond)) as client:
        return _timed(client, range(size))


def _replayed(path: Path, size: int) -> float:
    with record_http(path, mode="replay"), httpx.Client() as client:
        return _timed(client, range(size))


def _vcr_whole(yaml: Path, size: int) -> float:
    with vcr.use_cassette(str(yaml), record_mode="none"), httpx.Client() as client:
        return _timed(client, range(size))


def _vcr_sampled(yaml: Path, size: int) -> float:
    """Return the mean over places evenly spread, since a whole run takes minutes."""
    places = [size * (2 * i + 1) // (2 * _SAMPLES) for i in range(_SAMPLES)]
    matched = ("method", "scheme", "host", "port", "path", "query", "body")
    with vcr.use_cassette(str(yaml), record_mode="none", match_on=matched), httpx.Client() as client:
        return _timed(client, places)


def _timed(client: httpx.Client, numbers: Iterable[int]) -> float:
    """Return the CPU seconds of one call; bodies are made before."""
    bodies = [json.dumps(body(number)).encode() for number in numbers]
    gc.collect()
    start = time.process_time()
    for content in bodies:
        client.post("http://bench.test/chat", content=content, headers=_JSON)
    return (time.process_time() - start) / len(bodies)


def _quick(times: list[float]) -> float:
    """Return the lower quartile: a wall time waits for other processes too, and only ever grows by it."""
    return sorted(times)[len(times) // 4]


def _interleaved(
    jobs: list[Callable[[], float]], *, rounds: int, typical: Callable[[list[float]], float] = median
) -> list[float]:
    """Return the typical time of each job; every round runs all jobs, so load falls on all alike."""
    times: list[list[float]] = [[] for _ in jobs]
    for _ in range(rounds):
        for job, spent in zip(jobs, times, strict=True):
            spent.append(job())
    return [typical(spent) for spent in times]


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "ok  " if row["ok"] else "MISS"
        print(
            f"{mark} {row['name']:<72} {row['ours']:>9,.2f} {row['unit']} (target {row['target']:,})  {row['peers']}"
        )
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
