"""Write exchanges of an HTTP recording to another file, with their times and under numbers of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from harness.wire.http_recording import ExchangeWriter, RecordingHead, StoredExchange
from runtime.journal.records import raw


def write_exchanges(path: Path, head: RecordingHead, exchanges: Iterable[StoredExchange]) -> int:
    """Write a recording of some exchanges of another and return how many; time begins with the first.

    Raises:
        UsageError: If the file is in use.
        JournalError: If it cannot be written.
    """
    chosen = list(exchanges)
    began = next((each.at for each in chosen if each.at is not None), 0.0)
    writer = ExchangeWriter(path, msgspec.structs.replace(head, clients={}))
    try:
        for number, exchange in enumerate(chosen):
            at = round((exchange.at or began) - began, 6)
            duration = exchange.duration_s or 0.0
            writer.intent(number, exchange.stack, exchange.key, raw(exchange.request), at)
            if exchange.outcome is not None:
                writer.outcome(number, exchange.stack, exchange.outcome, round(at + duration, 6), duration)
        writer.end(len(chosen), None)
    finally:
        writer.close()
    return len(chosen)
