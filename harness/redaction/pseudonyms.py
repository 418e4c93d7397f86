"""Stable names for secrets: numbered within a run, or keyed over a whole segment.

Numbers (`<secret#1>`) need no key, hold nothing to guess, and are equal on every machine. Keyed names
(`<secret:9f3a01c7>`) are equal in all runs under one key, so a secret can be followed through production without
being known; an HMAC and not a hash, since a short secret could be guessed from its hash.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from harness.redaction.scan import PSEUDONYM
from runtime.errors import UsageError
from runtime.state.key_file import key_of_file

KEY_VARIABLE = "GOLDRUN_REDACTION_KEY"
KEY_FILE = ".redaction-key"
"""Key of the pseudonyms where the variable is not set: in the folder of the recordings, and never shipped."""
_LEAST_KEY_BYTES = 16
_NAME_CHARS = 8


class Numbers:
    """Numbers secrets by their first appearance, above the numbers that were there already."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        self._highest = 0

    def name(self, secret: bytes) -> str:
        """Return the pseudonym of a secret."""
        known = self.names.get(secret)
        if known is None:
            self._highest += 1
            known = self.names[secret] = f"<secret#{self._highest}>"
        return known

    def notice(self, text: str) -> None:
        """Reserve the numbers that a text already uses."""
        if "<secret#" in text:
            numbers = [int(found["number"]) for found in PSEUDONYM.finditer(text) if found["number"]]
            self._highest = max([self._highest, *numbers])


class Keyed:
    """Names secrets by an HMAC-SHA256 under a key.

    Attributes:
        key_id: Names the key in headers without telling it.
    """

    def __init__(self, key: bytes) -> None:
        """Take the key.

        Raises:
            UsageError: If it is shorter than 16 bytes.
        """
        if len(key) < _LEAST_KEY_BYTES:
            raise UsageError(
                f"the redaction key has {len(key)} bytes, fewer than {_LEAST_KEY_BYTES}",
                next_step=f"set {KEY_VARIABLE} to a longer secret, or leave it out and let a key file be made",
            )
        self._key = key
        self.names: dict[bytes, str] = {}
        self.key_id: str = self._mac(b"goldrun.redaction.key-id/1")

    def name(self, secret: bytes) -> str:
        """Return the pseudonym of a secret."""
        known = self.names.get(secret)
        if known is None:
            known = self.names[secret] = f"<secret:{self._mac(b'secret/1' + secret)}>"
        return known

    def notice(self, text: str) -> None:
        """Ignore names that stand in a text: keyed names need no order."""

    def _mac(self, data: bytes) -> str:
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_NAME_CHARS]


def redaction_key(value: str | None, path: Path) -> bytes:
    """Return the key of keyed pseudonyms.

    Args:
        value: Of the environment variable `GOLDRUN_REDACTION_KEY`; it wins.
        path: File of the key; made with mode 0600 and a new random key if it is not there.

    Raises:
        UsageError: If the file cannot be read or made, or others may read it.
    """
    if value:
        return value.encode()
    try:
        return key_of_file(path, "the redaction key")
    except OSError as error:
        raise UsageError(
            f"the redaction key cannot be read or made: {error.strerror}",
            where=str(path),
            next_step=f"set {KEY_VARIABLE}, or make the folder writable",
        ) from error


def renumbered(value: Any, names: Numbers) -> Any:
    """Return a JSON value with keyed pseudonyms as numbers, by first appearance."""
    match value:
        case str():
            if "<secret" not in value:
                return value
            names.notice(value)
            return PSEUDONYM.sub(
                lambda found: found[0] if found["number"] else names.name(found[0].encode()), value
            )
        case dict():
            return {renumbered(key, names): renumbered(item, names) for key, item in value.items()}
        case list():
            return [renumbered(item, names) for item in value]
        case tuple():
            return tuple(renumbered(item, names) for item in value)
        case _:
            return value
