"""A secret key in a file of its own: made once, whole, and readable by its owner alone."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from runtime.errors import UsageError


def key_of_file(path: Path, what: str) -> bytes:
    """Return the key of a file; it is made with mode 0600 and a new random key if it is not there.

    Args:
        path: The file; of several processes that make it at one time the first one's key stays.
        what: What the key is, for messages.

    Raises:
        UsageError: If others may read the file.
        OSError: If it cannot be read or made.
    """
    if not path.exists():
        _make(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UsageError(f"others may read {what}", where=str(path), next_step=f"run `chmod 600 {path}`")
    return path.read_bytes().strip()


def _make(path: Path) -> None:
    """Make the file; it appears whole, since a link is made to what was written."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
