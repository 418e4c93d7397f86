"""The index of a recording: which exchange answers a request, found by digest, in the order of sending.

Rules.
1. A request's own bytes are looked up first: no body is read where nothing changed. Only then it is redacted,
   parsed and looked up by its key.
2. Of equal requests the n-th gets the n-th recorded answer. None is served twice.
3. Nothing is compared until a look-up has failed; the nearest request is sought for the message alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from harness.redaction.redactor import process_redactor
from harness.wire.exchange import HttpRequest, SentRequest, unpack
from harness.wire.http_recording import StoredExchange
from harness.wire.miss_causes import miss_cause
from harness.wire.misses import Miss, request_difference
from harness.wire.request_key import raw_digest, request_key
from harness.wire.scrub import Scrubber


class _Slot:
    """The exchanges of equal requests and how many were served."""

    __slots__ = ("numbers", "used")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.used = 0


class HttpIndex:
    """Serves exchanges; use it from one thread at a time."""

    def __init__(self, exchanges: Sequence[StoredExchange], *, redacted: bool) -> None:
        self._exchanges = exchanges
        self._redacted = redacted
        self._by_key: dict[str, _Slot] = {}
        self._by_bytes: dict[bytes, _Slot] = {}
        for number, exchange in enumerate(exchanges):
            slot = self._by_key.setdefault(exchange.key, _Slot())
            slot.numbers.append(number)
            request = exchange.request
            self._by_bytes[raw_digest(request.method, request.url, unpack(request.body))] = slot

    @property
    def unused(self) -> tuple[int, ...]:
        """Numbers of the exchanges that were not served."""
        return tuple(sorted(n for slot in self._by_key.values() for n in slot.numbers[slot.used :]))

    def take(self, sent: SentRequest, call: int) -> StoredExchange | Miss:
        """Return the exchange that answers a request, and count it as served; else why there is none.

        Args:
            sent: The request.
            call: Which call of the session it is, for the message.
        """
        request = None
        slot = self._by_bytes.get(raw_digest(sent.method, sent.url, sent.body))
        if slot is None:
            # A redactor of its own: what a key holds may not depend on what was sent before.
            request = Scrubber(process_redactor(os.environ) if self._redacted else None).request(sent)
            slot = self._by_key.get(request_key(request))
            if slot is None:
                return self._miss(request, call)
        if slot.used == len(slot.numbers):
            return self._repeated(sent, slot, call)
        number = slot.numbers[slot.used]
        slot.used += 1
        exchange = self._exchanges[number]
        # What was sent may differ in what is not compared, and a trace of the replay tells what was sent.
        return exchange if request is None else msgspec.structs.replace(exchange, request=request)

    def _repeated(self, sent: SentRequest, slot: _Slot, call: int) -> Miss:
        request = self._exchanges[slot.numbers[-1]].request
        times = "once" if len(slot.numbers) == 1 else f"{len(slot.numbers)} times"
        return Miss(
            verdict="repeated",
            method=sent.method,
            url=request.url,
            call=call,
            nearest=slot.numbers[-1],
            detail=f"recorded {times}",
            cause="count",
        )

    def _miss(self, request: HttpRequest, call: int) -> Miss:
        nearest = self._nearest(request)
        if nearest is None:
            hosts = f"{len(self._exchanges)} exchanges are recorded, none with this method and path"
            return Miss(verdict="extra", method=request.method, url=request.url, call=call, detail=hosts)
        path, recorded, sent = request_difference(self._exchanges[nearest].request, request)
        return Miss(
            verdict="changed",
            method=request.method,
            url=request.url,
            call=call,
            nearest=nearest,
            path=path,
            recorded=recorded,
            sent=sent,
            cause=miss_cause(self._exchanges[nearest].request, path),
        )

    def _nearest(self, request: HttpRequest) -> int | None:
        """Return the recorded request most like this one: same URL, not served yet, longest common beginning."""
        path = _path(request.url)
        body = unpack(request.body)
        unused = set(self.unused)
        best: tuple[bool, bool, int] | None = None
        number = None
        for at, exchange in enumerate(self._exchanges):
            recorded = exchange.request
            if recorded.method != request.method or _path(recorded.url) != path:
                continue
            common = _common(unpack(recorded.body), body)
            rank = (recorded.url == request.url, at in unused, common)
            if best is None or rank > best:
                best, number = rank, at
        return number


def _common(a: bytes, b: bytes) -> int:
    """Return the length of the common beginning, by halving: slices compare far faster than single bytes."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _path(url: str) -> str:
    return url.partition("?")[0].partition("://")[2].partition("/")[2]
