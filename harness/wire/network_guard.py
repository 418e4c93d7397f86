"""No network in replay: sockets of this process connect nowhere while a guard is held.

Theory of operation: the interpreter announces each connection, look-up of a name and process start to an audit hook
before it happens. The hook is added once, because it cannot be taken away, and looks at nothing while no guard is held.
It sees every thread, also those that were started long before, and every client in Python, also raw sockets.

Loopback and Unix sockets pass, because tests talk to servers of their own, unless the recording used that very port.
Not seen: clients that bring their own sockets in native code (`NATIVE`), and processes that are no Python. The first
are named where they are loaded, the second when they start. A CI run in an empty network namespace covers both.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from harness.wire.routing import current
from runtime.errors import Signal

NATIVE = ("grpc", "pycurl", "curl_cffi", "primp", "rnet", "httpr")
"""Modules whose connections no audit hook sees."""
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"})
_STARTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"})
_WATCHED = _CONNECTS | _LOOK_UPS | _STARTS
_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", socket.gethostname().lower()})

Refuse = Callable[[str], NoReturn]
"""Called with what was about to be reached; raises."""


class NetworkGuard:
    """What one replay lets through.

    Attributes:
        started: Programs that were started while it was held, in order.
    """

    def __init__(
        self,
        refuse: Refuse,
        *,
        recorded: Iterable[tuple[str, int]] = (),
        passed: Iterable[str] = (),
        block_processes: bool = False,
    ) -> None:
        """Take the rules.

        Args:
            refuse: Called with what was about to be reached; raises.
            recorded: Host and port of recorded exchanges; these are refused on loopback too.
            passed: Host names that may be reached, a leading `*.` for all below one.
            block_processes: Refuse to start processes too.
        """
        self.started: list[str] = []
        self._refuse = refuse
        self._ports = {port for host, port in recorded if is_loopback(host)}
        self._passed = tuple(name.lower() for name in passed)
        self._known: set[str] = set()
        self._block_processes = block_processes

    def look_up(self, host: object) -> None:
        """Judge the look-up of a name."""
        name = _text(host).lower()
        if is_loopback(name):
            return
        if self.passes(name):
            self._learn(name)
        elif not _is_address(name):
            self._refuse(name)

    def connect(self, address: object) -> None:
        """Judge a connection."""
        if not isinstance(address, tuple) or len(address) < 2:
            return  # a Unix socket, or of another family
        host, port = _text(address[0]).lower(), address[1]
        if is_loopback(host):
            if port in self._ports:
                self._refuse(f"{host}:{port}")
        elif host not in self._known and not self.passes(host):
            self._refuse(f"{host}:{port}")

    def start(self, program: str) -> None:
        """Remember a process that starts, or refuse it."""
        if self._block_processes:
            self._refuse(f"the process {program}")
        self.started.append(program)

    def passes(self, host: str) -> bool:
        """Return whether a host may be reached."""
        return any(
            host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._passed
        )

    def _learn(self, name: str) -> None:
        """Remember the addresses of a host that may be reached: a connection names the address alone."""
        with _unwatched():
            try:
                found = socket.getaddrinfo(name, None)
            except OSError:
                return
        self._known.update(str(entry[4][0]) for entry in found)


@contextmanager
def guarded_network(guard: NetworkGuard) -> Iterator[NetworkGuard]:
    """Hold a guard for a block, over the whole process."""
    _add_hook()
    with _held.lock:
        _held.guards.append(guard)
    undo = _wrap_uvloop()
    try:
        yield guard
    finally:
        undo()
        with _held.lock:
            _held.guards.remove(guard)


def loaded_native() -> tuple[str, ...]:
    """Return the loaded clients whose connections no guard sees."""
    return tuple(name for name in NATIVE if name in sys.modules)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def guard_here(passed: str) -> None:
    """Guard this process until it ends; for children of a replay. `passed` lists host names, by commas."""

    def refuse(what: str) -> NoReturn:
        sys.stderr.write(f"goldrun: a replay goes to no network: refused {what}\n")
        raise NetworkRefused(f"a replay goes to no network: refused {what}")

    _add_hook()
    _held.guards.append(NetworkGuard(refuse, passed=[name for name in passed.split(",") if name]))


class NetworkRefused(Signal):
    """Stops a connection in a child process of a replay."""


class _Held:
    """The guards of the process; the last one decides."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.guards: list[NetworkGuard] = []
        self.has_hook = False


_held = _Held()
_local = threading.local()


def _add_hook() -> None:
    with _held.lock:
        if not _held.has_hook:
            sys.addaudithook(_audit)
            _held.has_hook = True


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _held.guards or event not in _WATCHED or getattr(_local, "unwatched", False):
        return
    channel = current()
    if channel is not None and not channel.is_replay:
        return  # what is recorded inside a replay talks to its server
    guard = _held.guards[-1]
    if event in _CONNECTS:
        if getattr(args[0], "family", None) in (socket.AF_INET, socket.AF_INET6):
            guard.connect(args[1])
    elif event in _LOOK_UPS:
        guard.look_up(args[0])
    else:
        guard.start(_text(args[0]))


@contextmanager
def _unwatched() -> Iterator[None]:
    before = getattr(_local, "unwatched", False)
    _local.unwatched = True
    try:
        yield
    finally:
        _local.unwatched = before


def _wrap_uvloop() -> Callable[[], None]:
    """Judge the connections of uvloop, which tells no audit hook of them; return how to take it back."""
    module = sys.modules.get("uvloop")
    if module is None:
        return lambda: None
    loop: Any = module.Loop
    original = loop.create_connection

    async def create_connection(
        self: Any, factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        if host is not None and _held.guards:
            _held.guards[-1].look_up(host)
            _held.guards[-1].connect((host, port))
        return await original(self, factory, host, port, **more)

    loop.create_connection = create_connection

    def undo() -> None:
        if loop.__dict__.get("create_connection") is create_connection:
            loop.create_connection = original

    return undo


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return _text(value[0]) if value else ""
    return "" if value is None else str(value)
