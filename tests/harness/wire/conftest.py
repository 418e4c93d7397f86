"""A server of small chunked answers on loopback, and a counter of what reached it."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

CHUNKS = 41


class ChunkServer(http.server.ThreadingHTTPServer):
    """Answers by path: /echo, /who, /raw, /stream, /break, /slow, /gzip, /split, /redirect; counts requests."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.written = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ChunkServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.path)
        getattr(self, "_" + self.path.partition("?")[0].split("/")[1])(body)

    do_GET = do_POST  # noqa: N815 - the base class's

    def _echo(self, body: bytes) -> None:
        self._send(
            b'{"echo":' + (body or b"null") + b"}", ("Set-Cookie", "session=cookie-value-1234; Path=/")
        )

    def _who(self, body: bytes) -> None:
        self._send(b'{"user":"' + self.headers.get("Authorization", "")[-1:].encode() + b'"}')

    def _raw(self, body: bytes) -> None:
        self._send(b'{"bytes":%d}' % len(body))

    def _gzip(self, body: bytes) -> None:
        import gzip

        self._send(gzip.compress(b'{"echo":' + (body or b"null") + b"}"), ("Content-Encoding", "gzip"))

    def _redirect(self, body: bytes) -> None:
        self.send_response_only(302)
        self.send_header("Location", "/echo")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _slow(self, body: bytes) -> None:
        time.sleep(0.5)
        self._send(b"{}")

    def _stream(self, body: bytes) -> None:
        self._chunks([b'data: {"i":%d,"text":"w\xc3\xb6rd"}\n\n' % i for i in range(CHUNKS)])

    def _split(self, body: bytes) -> None:
        parts = ["your key is s", "k-proj-", "Zk3vQ9xT", "7mB2nL5wR8yH4cD6", " keep it"]
        self._chunks([b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % p.encode() for p in parts])

    def _break(self, body: bytes) -> None:
        self._chunks([b'data: {"i":%d}\n\n' % i for i in range(10)], broken=True)

    def _chunks(self, pieces: list[bytes], *, broken: bool = False) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
            self.server.written += 1
            time.sleep(0.001)
        if broken:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response_only(200)
        for name, value in (("Content-Type", "application/json"), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Write no log."""


@pytest.fixture
def server() -> Iterator[ChunkServer]:
    server = ChunkServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nothing listens on, kept so that nobody else gets it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
