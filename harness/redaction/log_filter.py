"""Log records without secrets: a filter for the handlers of a process."""

from __future__ import annotations

import logging
from typing import Any

from harness.redaction.redactor import Redactor

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class RedactingFilter(logging.Filter):
    """Takes secrets out of what a handler writes: message, arguments, traceback and further fields.

    Add it to handlers and not to loggers, whose filters do not see the records of loggers below them. A record is
    cleaned in place, so handlers that come later see it clean too, as text without arguments and exception.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean a record; it is always kept."""
        redactor = self._redactor
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # Arguments that do not fit the message: the handler would report them with their values.
            message = f"{record.msg!s} {record.args!r}"
        record.msg, record.args = redactor.text(message), None
        if record.exc_info is not None and record.exc_info[1] is not None:
            record.exc_text = redactor.error_text(record.exc_info[1]).rstrip("\n")
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = redactor.text(record.exc_text)
        if record.stack_info:
            record.stack_info = redactor.text(record.stack_info)
        for name in set(vars(record)) - _STANDARD:
            setattr(record, name, _clean_field(redactor, name, getattr(record, name)))
        return True


def _clean_field(redactor: Redactor, name: str, value: Any) -> Any:
    if isinstance(value, str | dict | list | tuple | int | float | bool | None):
        return redactor.value({name: value})[name]
    return redactor.text(str(value))
