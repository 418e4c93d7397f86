"""A model provider on 127.0.0.1: a real HTTP server that answers from a policy, in the dialect of the request.

Demo, tests and benchmarks use it instead of a paid service. Any client of OpenAI chat completions or Anthropic
messages can call it.

Rules.
1. An answer is computed from the request alone: no clock, no counter, no date header. Equal requests get equal bytes,
   so recordings are stable.
2. A failure that the policy returns is sent as a provider would send it: a status with an error body, or a connection
   that breaks (`phase` connect or request: no answer; `stream`: in the middle of a stream).
3. An exception in the policy is a bug of its author. The connection is dropped, and `close` raises the exception.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from runtime.core.effects import Failure
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import parse_json
from runtime.errors import UsageError
from runtime.testing.loopback_dialects import CHAT, SERVED, ServedDialect, WireAnswer
from runtime.testing.scripted import ReplyFunction, complete_turn

MAX_BODY_BYTES = 64_000_000
"""Maximum size of a request; a larger one gets status 413."""

_POLL_S = 0.02
_PATHS = " or ".join(SERVED)


class LoopbackProvider:
    """A model server in a background thread; use it as a context manager.

    Attributes:
        base_url: Base URL for clients, for example `http://127.0.0.1:40123/v1`.
        requests: Number of calls that were answered or broken off, including refused ones.
    """

    def __init__(self, policy: ReplyFunction, *, port: int = 0) -> None:
        """Take a policy; the server starts with `start` or on entering the context.

        Args:
            policy: Computes each answer from the request alone; many threads call it at once.
            port: Port on 127.0.0.1; 0 picks a free one.
        """
        self._policy = policy
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._requests = 0
        self._bug: BaseException | None = None

    @property
    def base_url(self) -> str:
        """The address of the running server.

        Raises:
            UsageError: If it is not running.
        """
        if self._server is None:
            raise UsageError("the loopback provider is not running", next_step="use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> int:
        """Number of calls so far."""
        return self._requests

    def start(self) -> LoopbackProvider:
        """Start serving and return self.

        Raises:
            UsageError: If it already runs, or the port is taken.
        """
        if self._server is not None:
            raise UsageError("the loopback provider already runs")
        try:
            self._server = _Server(("127.0.0.1", self._port), self._answer)
        except OSError as error:
            raise UsageError(
                f"port {self._port} cannot be used: {error.strerror}", next_step="leave the port out"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="loopback-provider", daemon=True
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and cut open connections; closing twice is harmless.

        Raises:
            BaseException: The first exception of the policy, if it raised one.
        """
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.cut_connections()
        server.server_close()
        if self._thread is not None:
            self._thread.join()
        if self._bug is not None:
            raise self._bug

    def __enter__(self) -> LoopbackProvider:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, dialect: ServedDialect, body: bytes) -> WireAnswer:
        """Return what to send for the body of one call."""
        with self._lock:
            self._requests += 1
        try:
            document = parse_json(body)
            request = dialect.decode_request(document)
        except DialectError as error:
            return dialect.refused(400, error.what, None)
        try:
            turn = complete_turn(self._policy(request), request, provider="loopback")
        except BaseException as error:
            self._bug = self._bug or error
            raise
        token = hashlib.sha256(body).hexdigest()[:24]
        streamed = document.get("stream") is True
        if isinstance(turn, Failure):
            return dialect.failed(turn, request, token, streamed=streamed)
        return dialect.replied(turn, request, token, streamed=streamed)


class _Server(ThreadingHTTPServer):
    """Keeps track of its open connections, so that closing does not wait for idle clients."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], answer: Callable[[ServedDialect, bytes], WireAnswer]
    ) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client may disconnect, and `close` raises the policy's exceptions."""

    def cut_connections(self) -> None:
        """Shut down connections, so that handler threads stop waiting in reads."""
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client closed it first


class _Handler(BaseHTTPRequestHandler):
    """Reads one call after another from a persistent connection."""

    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # only such a server makes it
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 600

    def do_POST(self) -> None:
        """Answer one call."""
        path = self.path.partition("?")[0]
        dialect = SERVED.get(path)
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            self._refuse(411, "a body with Content-Length is needed", dialect or CHAT)
        elif int(size) > MAX_BODY_BYTES:
            self._refuse(413, f"a body has at most {MAX_BODY_BYTES} bytes", dialect or CHAT)
        else:
            body = self.rfile.read(int(size))
            if dialect is None:
                self._send(CHAT.refused(404, f"there is no {self.path!r}; use {_PATHS}", "not_found"))
            else:
                self._send(self.server.answer(dialect, body))

    def do_GET(self) -> None:
        """Answer 404, because there is nothing to get."""
        self._send(CHAT.refused(404, f"there is no {self.path!r}; POST to {_PATHS}", "not_found"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Write no log."""

    def _refuse(self, status: int, message: str, dialect: ServedDialect) -> None:
        self.close_connection = True  # the body was not read, so the next request cannot be found
        self._send(dialect.refused(status, message, None))

    def _send(self, answer: WireAnswer) -> None:
        if answer.events is None and answer.broken:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.events is None:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
            return
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in answer.events:
            data = event.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()
        if answer.broken:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
