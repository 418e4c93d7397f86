"""Values known to be secret: credentials in the variables of a process."""

from __future__ import annotations

from collections.abc import Mapping

from harness.redaction.secret_fields import Secrecy, secrecy
from runtime.core.checking import shown
from runtime.errors import UsageError
from runtime.state.secret_forms import LEAST_CHARS, literal_forms

__all__ = ["LEAST_CHARS", "known_credentials", "literal_forms"]

_KEYS = ("KEY", "APIKEY", "DSN")


def known_credentials(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of environment variables whose names look secret.

    A value that is a path, a flag or an ordinary word of small letters is none.
    """
    if not isinstance(environ, Mapping):
        raise UsageError(f"environ is {shown(environ)}, not a mapping", next_step="pass os.environ")
    return tuple(
        sorted(
            {
                value
                for name, value in environ.items()
                if _names_secret(name) and len(value) >= LEAST_CHARS and not _is_ordinary(value)
            }
        )
    )


def _names_secret(name: str) -> bool:
    return secrecy(name) is not Secrecy.NONE or name.upper().rpartition("_")[2] in _KEYS


def _is_ordinary(value: str) -> bool:
    return value.startswith(("/", "./", "~")) or (value.isalpha() and value.islower() and len(value) < 16)
