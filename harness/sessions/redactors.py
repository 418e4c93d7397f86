"""The redactor that a recorded run is replayed or carried on with."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cassette.redact import Redactor, process_redactor
from harness.cassette.redaction.pseudonyms import KEY_VARIABLE
from runtime.core.run import Header


def redactor_for(header: Header, environ: Mapping[str, str]) -> Redactor | None:
    """Return the redactor of a recorded run; `None` if it was recorded without redaction.

    Recorded values are redacted already, so any redactor leaves them alone. The key of keyed pseudonyms matters only
    for a secret that agent code brings in anew, and is used where the environment holds it.

    Args:
        header: Of the recorded run.
        environ: Variables of this process.
    """
    if header.redaction == "none":
        return None
    key = environ.get(KEY_VARIABLE)
    if key and header.redaction_key is not None:
        keyed = process_redactor(environ, pseudonyms="keyed", key=key.encode())
        if keyed.key_id == header.redaction_key:
            return keyed
    return process_redactor(environ)
