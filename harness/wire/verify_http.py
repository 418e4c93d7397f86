"""Whether an HTTP recording is intact and complete: each exchange has its answer, and no body was left out."""

from __future__ import annotations

from pathlib import Path

from harness.cassette.verify import Verified
from harness.wire.http_recording import StoredExchange, is_http_recording, read_http

_SHOWN = 10


def verify_http(path: Path) -> Verified | None:
    """Verify an HTTP recording, reading all of it; `None` if the file is none.

    Raises:
        CassetteError: If it is damaged.
    """
    if not is_http_recording(path):
        return None
    file = read_http(path)
    gaps = [gap for exchange in file.exchanges if (gap := _gap(exchange)) is not None]
    if len(gaps) > _SHOWN:
        gaps = [*gaps[:_SHOWN], f"... and {len(gaps) - _SHOWN} more"]
    return Verified(
        path=str(path),
        kind="http",
        intact=True,
        complete=file.ended and not file.torn_bytes and not gaps,
        runs=1,
        cut_off=() if file.ended else (file.head.request_id or path.name,),
        torn_bytes=file.torn_bytes,
        gaps=tuple(gaps),
    )


def _gap(exchange: StoredExchange) -> str | None:
    where = f"exchange {exchange.number}"
    if exchange.request.dropped is not None:
        return f"{where}: the request was not kept: {exchange.request.dropped}"
    answer = exchange.answer
    if answer is None:
        return f"{where}: it was in flight when the recording was cut off"
    return None if answer.dropped is None else f"{where}: the answer was not kept: {answer.dropped}"
