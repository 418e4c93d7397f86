"""The error of the codecs: a body that is not what its dialect says."""

from __future__ import annotations

from runtime.errors import DataError


class DialectError(DataError):
    """A body that is no request or no reply of its dialect; the message names the place and what stood there."""
