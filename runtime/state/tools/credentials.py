"""Credentials and clients by scope, so that what is shared between tenants never carries one tenant's secret."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from runtime.core.signatures import checks_arguments
from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope, Secret

Client = TypeVar("Client")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_MAX_BYTES = 64 * 1024


class StaticCredentials:
    """Credentials from a mapping, for tests and small set-ups; a `CredentialProvider`."""

    @checks_arguments
    def __init__(self, known: Mapping[Scope, Mapping[str, str]]) -> None:
        """Take all credentials there are."""
        self._known = {scope: dict(names) for scope, names in known.items()}

    def get(self, scope: Scope, name: str) -> Secret:
        """Return a credential of a scope."""
        value = self._known.get(_scope(scope), {}).get(name)
        if value is None:
            raise _missing(scope, name)
        return Secret(value)


class FolderCredentials:
    """Credentials from files `<root>/<tenant>/<environment>/<name>`; `runtime.ports.state.CredentialProvider`.

    Files are read at each call, so that a rotated one counts at once; one line end at the end is not part of it.
    In file names all but a-z, 0-9, `-`, `_` and `.` is written as `%` and two hex digits (a leading `.` too):
    capitals as well, because some file systems take `Acme` for `acme`.
    """

    def __init__(self, root: Path | str) -> None:
        """Name the folder."""
        self._root = Path(root)

    def path(self, scope: Scope, name: str) -> Path:
        """Return the file of a credential."""
        parts = (_scope(scope).tenant, scope.environment, name)
        return self._root.joinpath(*map(_file_name, parts))

    def get(self, scope: Scope, name: str) -> Secret:
        """Return a credential of a scope."""
        path = self.path(scope, name)
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(scope, name) from error
        except OSError as error:
            raise DataError(f"a credential cannot be read: {error.strerror}", where=str(path)) from error
        if len(raw) > _MAX_BYTES:
            raise DataError(f"a credential has more than {_MAX_BYTES} bytes", where=str(path))
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            # Not chained: the exception holds the bytes.
            raise DataError("a credential is no UTF-8 text", where=str(path)) from None
        return Secret(text.removesuffix("\n").removesuffix("\r"))


class ScopedClients(Generic[Client]):
    """One client for each scope, made on first use.

    A scope is required, so tenant B never gets a client with tenant A's credentials.
    A slow `make` holds up its own scope only. What `make` raises is raised, and the next call makes again.
    """

    def __init__(self, make: Callable[[Scope], Client]) -> None:
        """Take what makes a client for a scope; it asks the credential provider for that scope."""
        self._make = make
        self._lock = threading.Lock()
        self._making: dict[Scope, threading.Lock] = {}
        self._clients: dict[Scope, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def get(self, scope: Scope) -> Client:
        """Return the client of a scope, the same one each time.

        Raises:
            UsageError: If there is no scope.
        """
        with self._lock:
            if _scope(scope) in self._clients:
                return self._clients[scope]
            making = self._making.setdefault(scope, threading.Lock())
        with making:
            with self._lock:
                if scope in self._clients:
                    return self._clients[scope]
            client = self._make(scope)
            with self._lock:
                self._clients[scope] = client
            return client

    def drop(self, scope: Scope) -> Client | None:
        """Let go of a scope's client, for example after its credential was rotated; the caller closes it."""
        with self._lock:
            return self._clients.pop(_scope(scope), None)

    def drain(self) -> tuple[Client, ...]:
        """Let go of all clients; the caller closes them."""
        with self._lock:
            clients, self._clients = tuple(self._clients.values()), {}
        return clients


def _scope(scope: Scope) -> Scope:
    """Return the scope, checked: code without types must not get past it with a bare name or nothing."""
    if not isinstance(scope, Scope):
        raise UsageError(
            f"{type(scope).__name__} is no scope", next_step="pass the Scope that was bound at entry"
        )
    return scope


def _missing(scope: Scope, name: str) -> UsageError:
    return UsageError(
        f"tenant {scope.tenant!r} has no credential {name!r} in {scope.environment!r}",
        next_step="give it one; credentials of other tenants or environments are never used in its place",
    )


def _file_name(part: str) -> str:
    if not part:
        raise UsageError("a credential needs a name")
    raw = part.encode()
    text = "".join(chr(b) if b in _PLAIN else f"%{b:02x}" for b in raw)
    return "%2e" + text[1:] if text.startswith(".") else text
