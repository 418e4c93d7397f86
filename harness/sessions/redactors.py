"""The redactor that a recorded run is replayed or carried on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from harness.redaction.pseudonyms import KEY_FILE, KEY_VARIABLE, Keyed, redaction_key
from harness.redaction.redactor import Redactor, process_redactor
from runtime.errors import UsageError
from runtime.journal.recording import Recording


def redactor_for(recording: Recording, environ: Mapping[str, str]) -> Redactor | None:
    """Return the redactor of a recorded run; `None` if it was recorded without redaction.

    Recorded values are redacted already, and any redactor leaves them alone. The key of keyed pseudonyms matters only
    for a secret that agent code brings in anew, and is used where the environment or the recording's folder has it.

    Args:
        recording: The run.
        environ: Variables of this process.
    """
    if recording.header.redaction == "none":
        return None
    if recording.header.redaction_key is not None:
        for key in _keys(recording.source, environ):
            with suppress(UsageError):
                if Keyed(key).key_id == recording.header.redaction_key:
                    return process_redactor(environ, pseudonyms="keyed", key=key)
    return process_redactor(environ)


def _keys(source: str | None, environ: Mapping[str, str]) -> Iterator[bytes]:
    if environ.get(KEY_VARIABLE):
        yield environ[KEY_VARIABLE].encode()
    if source:
        path = Path(source.partition("#")[0]).parent / KEY_FILE
        if path.is_file():
            with suppress(UsageError):
                yield redaction_key(None, path)
