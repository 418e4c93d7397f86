"""A loopback reverse proxy that records or replays: the `base_url` of any SDK in any language.

Rules.
1. It listens on 127.0.0.1 only and refuses foreign `Host` headers, so that no web page can reach it by a name of
   its own; with a token only those who know the address can use it at all.
2. Streams are relayed piece by piece, flushed, while they are recorded; a client that leaves closes the upstream.
3. What the upstream does to us it does to the client: a break stays a break. No answer at all is 502, a time
   limit 504, a request that is not in the recording 599.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from harness.wire.misses import Unanswered
from harness.wire.session import HttpSession
from harness.wire.transports import RecordedTransport
from runtime.dialects.jsontext import dump_json
from runtime.errors import UsageError

MAX_BODY_BYTES = 64_000_000
"""Larger requests are answered 413."""

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "expect",
    }
)
"""Headers of one connection, not of the message (RFC 9110, 7.6.1), and the host, which is another one here."""
_TIMEOUT = {"connect": 30.0, "read": 600.0, "write": 600.0, "pool": 30.0}
_MISS_STATUS = 599
_POLL_S = 0.02


class RecordingProxy:
    """A reverse proxy in background threads; use it as a context manager.

    Attributes:
        session: The recording it writes or answers from.
    """

    def __init__(
        self,
        session: HttpSession,
        upstreams: Mapping[str, str],
        *,
        port: int = 0,
        token: bool = False,
    ) -> None:
        """Take where to send requests.

        Args:
            session: A new one; the proxy opens and closes it.
            upstreams: First path segment to URL; the empty segment takes every path. A replay needs the same.
            port: Port on 127.0.0.1; 0 picks a free one.
            token: Put a random segment in front of every path and refuse requests without it.

        Raises:
            UsageError: If an upstream is no http(s) URL.
        """
        for name, url in upstreams.items():
            split = urlsplit(url)
            if split.scheme not in {"http", "https"} or not split.hostname:
                raise UsageError(
                    f"upstream {name or url!r} is no http(s) URL: {url!r}", where="goldrun record --proxy"
                )
        if not upstreams:
            raise UsageError("a proxy needs an upstream", where="goldrun record --proxy")
        self.session = session
        self._upstreams = {name: url.rstrip("/") for name, url in upstreams.items()}
        self._port = port
        self._token = secrets.token_urlsafe(16) if token else ""
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._transport: RecordedTransport | None = None

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            UsageError: If it is not running.
        """
        if self._server is None:
            raise UsageError("the proxy is not running", next_step="use it in a with statement")
        return int(self._server.server_address[1])

    def base_url(self, name: str = "") -> str:
        """Return what a client is given in place of an upstream's URL."""
        segments = [part for part in (self._token, name) if part]
        return "/".join([f"http://127.0.0.1:{self.port}", *segments])

    def __enter__(self) -> RecordingProxy:
        import httpx

        self.session.open()
        self._transport = RecordedTransport(
            httpx.HTTPTransport(limits=httpx.Limits(max_connections=None)), self.session
        )
        try:
            self._server = _Server(("127.0.0.1", self._port), self)
        except OSError as error:
            self.session.close()
            raise UsageError(f"port {self._port} cannot be used: {error.strerror}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="recording-proxy", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._thread is not None:
            self._thread.join()
        if self._transport is not None:
            self._transport.close()
        self.session.close(None if kind is None else kind.__name__)
        if error is None and self._server is not None and self._server.bug is not None:
            raise self._server.bug

    def target(self, path: str) -> str | None:
        """Return the upstream URL of a request's path; `None` if it names none."""
        if self._token:
            head, _, path = path.lstrip("/").partition("/")
            if not secrets.compare_digest(head.encode(), self._token.encode()):
                return None
        segment, slash, rest = path.lstrip("/").partition("/")
        if segment in self._upstreams and segment:
            return f"{self._upstreams[segment]}{slash}{rest}"
        root = self._upstreams.get("")
        return None if root is None else f"{root}/{path.lstrip('/')}"

    def send(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> Any:
        """Send one request upstream, or answer it from the recording; the response's stream is not read yet."""
        import httpx

        assert self._transport is not None
        request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": _TIMEOUT})
        return self._transport.handle_request(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: RecordingProxy) -> None:
        self.proxy = proxy
        self.bug: BaseException | None = None
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that left is no news, and a bug of ours is raised when the proxy ends."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError) and self.bug is None:
            self.bug = error


class _Handler(BaseHTTPRequestHandler):
    """Relays one request after another from a kept connection."""

    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # only such a server makes it
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 600

    def _relay(self) -> None:
        url = self._checked()
        if url is None:
            return
        body = self._read_body()
        if body is None:
            return
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _HOP]
        try:
            response = self.server.proxy.send(self.command, url, headers, body)
        except Unanswered as miss:
            self._refuse(_MISS_STATUS, str(miss), "not_recorded")
        except Exception as error:
            # The edge that turns what a transport raises into an answer; a bug of ours is raised.
            if not _is_transport_error(error):
                raise
            timed_out = "Timeout" in type(error).__name__
            self._refuse(504 if timed_out else 502, f"{type(error).__name__}: {error}", "upstream")
        else:
            self._pass_on(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _relay  # noqa: N815 - the base class's

    def _checked(self) -> str | None:
        """Return where a request goes, after the checks; `None` if it was answered."""
        port = self.server.server_address[1]
        host = (self.headers.get("Host") or "").lower()
        if host not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
            self._refuse(403, f"host {host!r} is not this proxy", "foreign_host")
            return None
        if self.headers.get("Upgrade"):
            self._refuse(501, "upgraded connections are not relayed", "upgrade")
            return None
        if not self.path.startswith("/"):
            self._refuse(400, "this is a reverse proxy: give it as base_url, not as a proxy", "absolute_form")
            return None
        url = self.server.proxy.target(self.path)
        if url is None:
            self._refuse(404, "no upstream has this path", "no_upstream")
        return url

    def _read_body(self) -> bytes | None:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            body = b"".join(_chunks(self.rfile))
        else:
            size = self.headers.get("Content-Length", "0")
            if not size.isdecimal() or int(size) > MAX_BODY_BYTES:
                self._refuse(413, f"a body has at most {MAX_BODY_BYTES} bytes", "too_large")
                return None
            body = self.rfile.read(int(size))
        if len(body) > MAX_BODY_BYTES:
            self._refuse(413, f"a body has at most {MAX_BODY_BYTES} bytes", "too_large")
            return None
        return body

    def _pass_on(self, response: Any) -> None:
        try:
            phrase = response.extensions.get("reason_phrase", b"").decode("latin-1")
            self.send_response_only(response.status_code, phrase or None)
            chunked = self._send_headers(response)
            for chunk in response.stream:
                if chunk:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    self.wfile.flush()
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the client left
        except Unanswered:
            self.close_connection = True  # it reads on where the recorded client had stopped; kept as a miss
        except Exception as error:
            if not _is_transport_error(error):
                raise
            self.close_connection = True  # the upstream broke off, and so do we
        finally:
            response.stream.close()

    def _send_headers(self, response: Any) -> bool:
        """Send the head of an answer; return whether its body goes out in chunks."""
        for name, value in response.headers.raw:
            if name.decode("latin-1").lower() not in _HOP:
                self.send_header(name.decode("latin-1"), value.decode("latin-1"))
        has_body = self.command != "HEAD" and response.status_code not in {204, 304}
        chunked: bool = has_body and "content-length" not in response.headers
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return chunked

    def _refuse(self, status: int, message: str, kind: str) -> None:
        body = dump_json({"error": {"message": message, "type": f"goldrun_{kind}"}}).encode()
        self.close_connection = True  # its body may not have been read
        self.send_response_only(status, "Not Recorded" if status == _MISS_STATUS else None)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Write no log: paths and tokens do not belong in one."""


def _is_transport_error(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.RequestError | httpx.InvalidURL)


def _chunks(file: Any) -> Iterator[bytes]:
    """Yield the pieces of a chunked request body, up to the limit."""
    total = 0
    while total <= MAX_BODY_BYTES:
        size = int(file.readline(1024).partition(b";")[0].strip() or b"0", 16)
        if size == 0:
            while file.readline(65_536).strip():
                pass
            return
        total += size
        if total <= MAX_BODY_BYTES:
            yield file.read(size)
            file.readline(8)
    yield b"\0" * (MAX_BODY_BYTES + 1)
