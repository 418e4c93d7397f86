"""Credentials: of one scope alone, and clients that never carry another tenant's."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope, Secret
from runtime.state.tools.credentials import FolderCredentials, ScopedClients, StaticCredentials

ACME = Scope(tenant="acme", environment="prod")
ACME_TEST = Scope(tenant="acme", environment="test")
EVIL = Scope(tenant="evil", environment="prod")


def put(folder: FolderCredentials, scope: Scope, name: str, raw: bytes) -> None:
    path = folder.path(scope, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)


def test_credential_is_that_of_its_scope() -> None:
    known = StaticCredentials({ACME: {"crm": "a"}, ACME_TEST: {"crm": "b"}})

    assert [known.get(scope, "crm").reveal() for scope in (ACME, ACME_TEST)] == ["a", "b"]


@pytest.mark.parametrize(("scope", "name"), [(EVIL, "crm"), (ACME, "erp"), (ACME_TEST, "crm")])
def test_missing_credential_is_never_one_of_another_scope(tmp_path: Path, scope: Scope, name: str) -> None:
    folder = FolderCredentials(tmp_path)
    put(folder, ACME, "crm", b"hunter2")

    for provider in (folder, StaticCredentials({ACME: {"crm": "hunter2"}})):
        with pytest.raises(UsageError, match="has no credential") as caught:
            provider.get(scope, name)
        assert "hunter2" not in str(caught.value)


def test_file_is_read_at_each_call_without_its_line_end(tmp_path: Path) -> None:
    folder = FolderCredentials(tmp_path)
    put(folder, ACME, "crm", b"first\n")
    before = folder.get(ACME, "crm").reveal()
    put(folder, ACME, "crm", b" rotated \r\n")

    assert (before, folder.get(ACME, "crm").reveal()) == ("first", " rotated ")


def test_capital_names_have_files_of_their_own(tmp_path: Path) -> None:
    folder = FolderCredentials(tmp_path)

    path = folder.path(Scope(tenant="Acme", environment="prod"), ".key")

    assert path == tmp_path / "%41cme" / "prod" / "%2ekey"


def test_file_that_is_no_text_is_an_error_that_shows_no_bytes(tmp_path: Path) -> None:
    folder = FolderCredentials(tmp_path)
    put(folder, ACME, "crm", b"hunter2\xff")

    with pytest.raises(DataError, match="no UTF-8") as caught:
        folder.get(ACME, "crm")

    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


class Seen(BaseHTTPRequestHandler):
    """Keeps path and credential of each request."""

    protocol_version = "HTTP/1.1"
    requests: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def server() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    found: list[tuple[str, str]] = []
    handler = type("Handler", (Seen,), {"requests": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made.server_address[1], found
        made.shutdown()
        thread.join()


class CrmClient:
    """A client that keeps its connection and its credential, as SDKs do."""

    def __init__(self, port: int, secret: Secret) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._secret = secret
        self._lock = threading.Lock()

    def get(self, path: str) -> int:
        with self._lock:
            self._http.request("GET", path, headers={"Authorization": self._secret.reveal()})
            answer = self._http.getresponse()
            answer.read()
            return answer.status

    def close(self) -> None:
        self._http.close()


def test_mode_18_interleaved_runs_of_two_tenants_never_mix_credentials(
    server: tuple[int, list[tuple[str, str]]],
) -> None:
    port, found = server
    scopes = (ACME, EVIL, ACME_TEST)
    known = StaticCredentials({s: {"crm": f"key of {s.tenant} {s.environment}"} for s in scopes})
    clients = ScopedClients(lambda scope: CrmClient(port, known.get(scope, "crm")))

    def work(number: int) -> int:
        scope = scopes[number % 3]
        return clients.get(scope).get(f"/{scope.tenant}/{scope.environment}")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(120))) == {200}
    for client in clients.drain():
        client.close()

    assert len(found) == 120
    assert set(found) == {
        (f"/{s.tenant}/{s.environment}", f"key of {s.tenant} {s.environment}") for s in scopes
    }


def test_one_client_is_made_for_each_scope_also_when_many_ask_at_once() -> None:
    made: list[Scope] = []
    together = threading.Barrier(8)

    def make(scope: Scope) -> object:
        made.append(scope)
        return object()

    clients = ScopedClients(make)

    def ask(number: int) -> object:
        together.wait(10)
        return clients.get((ACME, EVIL)[number % 2])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))

    assert sorted(s.tenant for s in made) == ["acme", "evil"]
    assert len({id(f) for f in found}) == 2
    assert found[0] is found[2]


def test_slow_client_of_one_scope_holds_up_no_other() -> None:
    go_on = threading.Event()

    def make(scope: Scope) -> str:
        if scope == ACME:
            assert go_on.wait(10)
        return scope.tenant

    clients = ScopedClients(make)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(clients.get, ACME)
        assert clients.get(EVIL) == "evil"
        assert not slow.done()
        go_on.set()
        assert slow.result(10) == "acme"


def test_client_that_could_not_be_made_is_made_at_the_next_call() -> None:
    faults = [UsageError("no credential")]

    def make(scope: Scope) -> str:
        if faults:
            raise faults.pop()
        return "client"

    clients = ScopedClients(make)
    with pytest.raises(UsageError):
        clients.get(ACME)

    assert clients.get(ACME) == "client"


def test_dropped_client_is_made_anew() -> None:
    numbers = iter(range(9))
    clients = ScopedClients(lambda scope: next(numbers))

    assert [clients.get(ACME), clients.drop(ACME), clients.drop(ACME), clients.get(ACME)] == [0, 0, None, 1]
    assert (clients.drain(), len(clients)) == ((1,), 0)
