"""The index of a recording: which exchange answers a request, found by digest, in the order of sending.

Rules.
1. A request's own bytes are looked up first: no body is read where nothing changed. Only then it is redacted,
   parsed and looked up by its key.
2. What is not found so is looked up by its form (`match_form`), in which what may differ is taken out.
3. Of equal requests the n-th gets the n-th recorded answer. None is served twice, unless `match.repeat` says so.
4. Nothing is compared until a look-up has failed; the nearest request is sought for the message alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date

import msgspec

from harness.redaction.redactor import process_redactor
from harness.wire.exchange import HttpRequest, SentRequest, unpack
from harness.wire.http_recording import StoredExchange
from harness.wire.match_form import MatchForm, identity_tag
from harness.wire.match_rules import MatchRules
from harness.wire.miss_causes import miss_cause
from harness.wire.misses import Miss, request_difference
from harness.wire.request_key import PSEUDONYM, raw_digest, request_key
from harness.wire.scrub import Scrubber

DEFAULT_RULES = MatchRules()


class _Slot:
    """The exchanges of equal requests, in the order of sending."""

    __slots__ = ("is_ambiguous", "numbers")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_ambiguous: bool | None = None


class HttpIndex:
    """Serves exchanges; use it from one thread at a time."""

    def __init__(
        self,
        exchanges: Sequence[StoredExchange],
        *,
        redacted: bool,
        rules: MatchRules = DEFAULT_RULES,
        salt: str | None = None,
        recorded_on: date | None = None,
        today: Callable[[], date] | None = None,
    ) -> None:
        """Index a recording.

        Args:
            exchanges: The recording.
            redacted: Whether secrets were taken out of it.
            rules: How much of a request must be as recorded.
            salt: Of the recording's identity tags.
            recorded_on: Its day, UTC.
            today: Gives the day of the replay, UTC.
        """
        self._exchanges = exchanges
        self._redacted = redacted
        self._rules = rules
        self._salt = salt
        self._recorded_on = recorded_on
        self._today = today
        self._used = bytearray(len(exchanges))
        self._by_key: dict[str, _Slot] = {}
        self._by_bytes: dict[bytes, _Slot] = {}
        self._by_form: dict[str, _Slot] | None = None
        for number, exchange in enumerate(exchanges):
            slot = self._by_key.setdefault(exchange.key, _Slot())
            slot.numbers.append(number)
            request = exchange.request
            self._by_bytes[raw_digest(request.method, request.url, unpack(request.body))] = slot

    @property
    def unused(self) -> tuple[int, ...]:
        """Numbers of the exchanges that were not served."""
        return tuple(number for number, used in enumerate(self._used) if not used)

    def take(self, sent: SentRequest, call: int) -> StoredExchange | Miss:
        """Return the exchange that answers a request, and count it as served; else why there is none.

        Args:
            sent: The request.
            call: Which call of the session it is, for the message.
        """
        request = None
        slot = None
        if not self._rules.identity:
            slot = self._by_bytes.get(raw_digest(sent.method, sent.url, sent.body))
        if slot is None:
            # A redactor of its own: what a key holds may not depend on what was sent before.
            request = Scrubber(process_redactor(os.environ) if self._redacted else None).request(sent)
            slot = None if self._rules.identity else self._by_key.get(request_key(request))
            if slot is None:
                slot = self._forms().get(self._form(self._day()).key(request, self._identity(sent)))
            if slot is None:
                return self._miss(request, call)
        if self._ambiguous(slot):
            return self._two_identities(sent, slot, call)
        number = next((each for each in slot.numbers if not self._used[each]), None)
        if number is None:
            if self._rules.repeat == "once":
                return self._repeated(sent, slot, call)
            number = slot.numbers[-1]
        self._used[number] = True
        exchange = self._exchanges[number]
        # What was sent may differ in what is not compared, and a trace of the replay tells what was sent.
        return exchange if request is None else msgspec.structs.replace(exchange, request=request)

    def _forms(self) -> dict[str, _Slot]:
        """Return the slots by form, made when the first request is not found as it stands."""
        if self._by_form is None:
            self._by_form = {}
            form = self._form(self._recorded_on)
            for number, exchange in enumerate(self._exchanges):
                tags = sorted(exchange.request.identity.items())
                key = form.key(exchange.request, tags if self._rules.identity else ())
                self._by_form.setdefault(key, _Slot()).numbers.append(number)
        return self._by_form

    def _form(self, day: date | None) -> MatchForm:
        rules = self._rules
        return MatchForm(paths=rules.paths, query=rules.ignore.query, normalise=rules.normalise, day=day)

    def _day(self) -> date | None:
        return None if self._today is None else self._today()

    def _identity(self, sent: SentRequest) -> list[tuple[str, str]]:
        return sorted(identity_of(self._rules, self._salt, sent).items())

    def _ambiguous(self, slot: _Slot) -> bool:
        """Return whether a slot holds the answers of several users, and nothing tells whose is whose."""
        if self._rules.identity or len(slot.numbers) == 1:
            return False
        if slot.is_ambiguous is None:
            exchanges = [self._exchanges[number] for number in slot.numbers]
            users = {credentials_of(exchange.request) for exchange in exchanges}
            slot.is_ambiguous = len(users) > 1 and len({_answer_of(exchange) for exchange in exchanges}) > 1
        return slot.is_ambiguous

    def _two_identities(self, sent: SentRequest, slot: _Slot, call: int) -> Miss:
        return Miss(
            verdict="ambiguous",
            method=sent.method,
            url=self._exchanges[slot.numbers[0]].request.url,
            call=call,
            nearest=slot.numbers[0],
            detail=(
                "it was recorded with several credentials and several answers, and a replay cannot tell them apart; "
                "record it with match={'identity': [<header>]}"
            ),
            cause="redaction",
        )

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


def identity_of(rules: MatchRules, salt: str | None, sent: SentRequest) -> dict[str, str]:
    """Return the tags of the headers of a request that tell users apart."""
    named = [(name.lower(), value) for name, value in sent.headers]
    return {name: identity_tag(salt or "", value) for name, value in named if rules.compares_header(name)}


def credentials_of(request: HttpRequest) -> tuple[str, ...]:
    """Return the pseudonyms in the headers of a request; retries under a new token have others."""
    return tuple(sorted({found for _, value in request.headers for found in PSEUDONYM.findall(value)}))


def _answer_of(exchange: StoredExchange) -> bytes:
    """Return what an answer says, whenever it came."""
    answer = exchange.answer
    return b"" if answer is None else b"%d %b" % (answer.status or 0, answer.content)


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
