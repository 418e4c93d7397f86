"""The replaying side: requests are answered from a recording, and what it cannot answer is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from harness.wire.exchange import HttpAnswer, HttpRequest, SentRequest
from harness.wire.exchange_index import DEFAULT_RULES, HttpIndex
from harness.wire.http_recording import RecordingHead, StoredExchange, read_http
from harness.wire.match_rules import MatchRules
from harness.wire.misses import Miss, MissVerdict, Unanswered

_CUT_OFF = "the recording was cut off while this exchange was in flight"
_DROPPED = "its answer was not kept: {}"


class ServedExchange:
    """One recorded exchange on its way to a client."""

    __slots__ = ("_player", "answer", "call", "duration_s", "request")

    def __init__(self, player: Player, call: int, exchange: StoredExchange, answer: HttpAnswer) -> None:
        self._player = player
        self.call: int = call
        self.request: HttpRequest = exchange.request
        self.answer: HttpAnswer = answer
        self.duration_s: float = exchange.duration_s or 0.0

    def refuse(self, verdict: MissVerdict, detail: str) -> NoReturn:
        """Stop the client: it asks for more than was recorded.

        Raises:
            Unanswered: Always.
        """
        request = self.request
        self._player.stop(
            Miss(verdict=verdict, method=request.method, url=request.url, call=self.call, detail=detail)
        )


class Player:
    """Answers requests from recordings; safe to share between threads.

    Attributes:
        path: The first file.
        misses: What could not be answered, in order.
        calls: Requests made.
        head: Header of the first file.
        rules: How much of a request must be as recorded.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        rules: MatchRules | None = None,
        today: Callable[[], date] | None = None,
    ) -> None:
        """Read the files.

        Args:
            paths: The recording, one file for each process.
            rules: How much of a request must be as recorded; as the recording says by default.
            today: Gives the day of the replay, UTC.

        Raises:
            CassetteError: If one cannot be read.
        """
        files = [read_http(path) for path in paths]
        self.path: Path = paths[0]
        self.misses: list[Miss] = []
        self.calls: int = 0
        self.head: RecordingHead = files[0].head
        self._served: list[StoredExchange] = []
        self.is_cut_off: bool = any(not file.ended for file in files)
        exchanges = [exchange for file in files for exchange in file.exchanges]
        self.exchanges: tuple[StoredExchange, ...] = tuple(exchanges)
        self.rules: MatchRules = rules or self.head.match or DEFAULT_RULES
        self._index = HttpIndex(
            exchanges,
            redacted=any(f.head.redaction != "none" for f in files),
            rules=self.rules,
            salt=self.head.salt,
            recorded_on=_day(self.head.started_at),
            today=today,
        )
        self._lock = threading.Lock()

    @property
    def unused(self) -> tuple[int, ...]:
        """Numbers of the recorded exchanges that no request used."""
        with self._lock:
            return self._index.unused

    @property
    def served(self) -> tuple[StoredExchange, ...]:
        """The exchanges that were asked for, with the requests as they were sent now, in recorded order."""
        with self._lock:
            return tuple(sorted(self._served, key=lambda exchange: exchange.number))

    def serve(self, sent: SentRequest) -> ServedExchange:
        """Return the answer to a request.

        Raises:
            Unanswered: If there is none; the miss is kept.
        """
        found = self.find(sent)
        return self.stop(found) if isinstance(found, Miss) else found

    def find(self, sent: SentRequest) -> ServedExchange | Miss:
        """Return the answer to a request, or why there is none.

        Raises:
            Unanswered: If the answer was not kept; that miss is kept.
        """
        with self._lock:
            self.calls += 1
            call = self.calls
            found = self._index.take(sent, call)
            if not isinstance(found, Miss):
                self._served.append(found)
        if isinstance(found, Miss):
            if self.is_cut_off and found.detail is not None:
                found = msgspec.structs.replace(found, detail=f"{found.detail}; the recording was cut off")
            return found
        answer = found.answer
        served = ServedExchange(self, call, found, HttpAnswer(end="reset") if answer is None else answer)
        if answer is None:
            served.refuse("cut_off", _CUT_OFF)
        if answer.dropped is not None:
            served.refuse("dropped", _DROPPED.format(answer.dropped))
        return served

    def refuse_network(self, what: str) -> NoReturn:
        """Stop a connection that no recorded client makes.

        Raises:
            Unanswered: Always.
        """
        detail = "a replay goes to no network, and this client is not one that goldrun records"
        self.stop(
            Miss(
                verdict="network", method="CONNECT", url=what, call=self.calls, detail=detail, cause="network"
            )
        )

    def reached(self) -> Iterator[tuple[str, int]]:
        """Yield host and port of each recorded exchange."""
        for exchange in self.exchanges:
            parts = urlsplit(exchange.request.url)
            if parts.hostname:
                yield parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

    def empty(self, sent: SentRequest) -> ServedExchange:
        """Return an empty answer, for hosts that are ignored."""
        exchange = StoredExchange(
            number=-1,
            stack=sent.stack,
            key="",
            request=HttpRequest(method=sent.method, url=sent.url),
        )
        answer = HttpAnswer(status=204, reason="No Content", end="done")
        return ServedExchange(self, self.calls, exchange, answer)

    def stop(self, miss: Miss) -> NoReturn:
        """Keep a miss and stop the client.

        Raises:
            Unanswered: Always.
        """
        with self._lock:
            self.misses.append(miss)
        raise Unanswered(miss, str(self.path))


def _day(started_at: str | None) -> date | None:
    try:
        return None if started_at is None else datetime.fromisoformat(started_at).date()
    except ValueError:
        return None
