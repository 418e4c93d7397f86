"""The tripwire: bytes about to be written that still look secret are refused."""

from __future__ import annotations

from typing import Protocol

from harness.errors import CassetteError
from harness.redaction.rules import Ruleset, ruleset
from harness.redaction.scan import ScanError, find_secrets
from runtime.core.run import Header


class Tripwire(Protocol):
    """Looks for the secrets of one run; a redactor is one."""

    def looks_secret(self, data: bytes) -> str | None:
        """Return the name of the first rule that finds something; `None` if the bytes look clean."""
        ...


def looks_secret(data: bytes) -> str | None:
    """Return the name of the first rule that finds something in bytes about to be written; `None` if they look clean.

    The tripwire behind the redactor: it looks for shapes alone, not for field names.
    """
    return first_found(data, ruleset())


def refuse_secrets(data: bytes, header: Header, *, where: str, redactor: Tripwire | None = None) -> None:
    """Refuse bytes about to be written that look secret, unless the run was recorded without redaction.

    Args:
        data: What is about to be written.
        header: Of the run.
        where: Where to.
        redactor: Whose rules and known values are looked for; by default our own rules.

    Raises:
        CassetteError: If something is found, or the bytes cannot be scanned; the message names the rule, never
            the secret.
    """
    if header.redaction == "none":
        return
    try:
        found = looks_secret(data) if redactor is None else redactor.looks_secret(data)
    except ScanError as error:
        found = error.what
    if found is not None:
        raise CassetteError(
            f"run {header.run_id!r} still looks secret ({found}); nothing was written",
            where=where,
            next_step="add a redaction rule, then record the run again",
        )


def first_found(data: bytes, rules: Ruleset) -> str | None:
    """Return the name of the first rule that finds something in bytes about to be written."""
    spans = find_secrets(data, rules, tripwire=True)
    return spans[0].rule if spans else None
