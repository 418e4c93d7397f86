"""Artifacts: bytes of one tenant and environment, found by their SHA-256; in memory, or one file each.

A file is written under another name, synced and renamed, so that a digest is there whole or not at all. It is
checked against its digest whenever it is read. The folder of a scope is named by the scope's fingerprint: no name
of a tenant becomes a path, and a digest of another tenant finds nothing, also when that tenant has the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path

from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope

MAX_BYTES = 256 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


class MemoryArtifacts:
    """Artifacts of one scope in memory, for tests and short runs; `runtime.ports.state.Artifacts`."""

    def __init__(self, scope: Scope, *, max_bytes: int = MAX_BYTES) -> None:
        """Make an empty store; `max_bytes` limits one artifact."""
        self.scope = scope
        self._max_bytes = max_bytes
        self._kept: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, data: bytes) -> str:
        """Keep some bytes and return their digest."""
        digest = _checked_digest(data, self._max_bytes)
        with self._lock:
            self._kept[digest] = bytes(data)
        return digest

    def get(self, digest: str) -> bytes | None:
        """Return the bytes of a digest, if they are here."""
        return self._kept.get(_valid(digest))

    def delete(self, digest: str) -> bool:
        """Remove an artifact; return whether there was one."""
        with self._lock:
            return self._kept.pop(_valid(digest), None) is not None


class FolderArtifacts:
    """Artifacts of one scope below a folder that scopes share; `runtime.ports.state.Artifacts`.

    Many threads and processes may use one folder.
    """

    def __init__(self, root: Path | str, scope: Scope, *, max_bytes: int = MAX_BYTES) -> None:
        """Name the folder; it is made with the first artifact. `max_bytes` limits one artifact."""
        self.scope = scope
        self._folder = Path(root) / scope.digest
        self._max_bytes = max_bytes

    def put(self, data: bytes) -> str:
        """Keep some bytes and return their digest."""
        digest = _checked_digest(data, self._max_bytes)
        path = self._path(digest)
        try:
            if not _holds(path, digest):
                _write(path, data)
        except OSError as error:
            raise DataError(f"an artifact was not written: {error.strerror}", where=str(path)) from error
        return digest

    def get(self, digest: str) -> bytes | None:
        """Return the bytes of a digest, if they are here."""
        path = self._path(_valid(digest))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"an artifact cannot be read: {error.strerror}", where=str(path)) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise DataError(
                "an artifact does not have the bytes of its name",
                where=str(path),
                next_step="delete it, and put it again from where it came",
            )
        return data

    def delete(self, digest: str) -> bool:
        """Remove an artifact; return whether there was one."""
        try:
            self._path(_valid(digest)).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _checked_digest(data: bytes, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise UsageError(f"an artifact of {len(data)} bytes is above the limit of {max_bytes}")
    return hashlib.sha256(data).hexdigest()


def _valid(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is no digest of an artifact", next_step="use the 64 hex characters of put()"
        )
    return digest


def _holds(path: Path, digest: str) -> bool:
    """Return whether the file is there and undamaged."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name itself must survive a power loss, too
    finally:
        os.close(folder)
