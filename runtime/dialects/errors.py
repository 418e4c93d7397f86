"""The error of the codecs: a body that does not follow its dialect."""

from __future__ import annotations

from runtime.errors import DataError


class DialectError(DataError):
    """A body that is not a request or reply of its dialect; the message names the place and the value there."""
