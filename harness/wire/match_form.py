"""The form of a request in which what may differ is taken out: ignored paths, and what is of the moment.

A date is of the moment where it is the day of its own side, or one day off: the day of the recording in what was
recorded, today in what is sent. Any other date is compared as it stands.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from harness.wire.exchange import Encoded, HttpRequest, Stored, header_value, unpack
from harness.wire.request_key import level
from runtime.core.canonical import fingerprint
from runtime.errors import UsageError

JsonPath = tuple[str | int, ...]
"""Member names and list positions; `*` stands for each."""

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+|\*)\]|\[(?P<quote>["'])(?P<quoted>[^"']*)(?P=quote)\]"""
)
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_ISO = re.compile(
    r"(?<!\d)(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?!\d)"
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]{{0,6}}"
_CLOCK = r"(?:[ ,T]+(?:at )?\d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?(?: (?:GMT|UTC))?)?"
_DAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?"
_MONTH_FIRST = re.compile(
    rf"{_DAY}(?P<month>{_MONTH})\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y>\d{{4}}){_CLOCK}"
)
_DAY_FIRST = re.compile(
    rf"{_DAY}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[ -](?P<month>{_MONTH})\.?[ -](?P<y>\d{{4}}){_CLOCK}"
)
_BOUNDARY = re.compile(r"multipart/[^;]+;.*?boundary=\"?(?P<text>[^\";,]+)", re.IGNORECASE)
_NOW, _ANY_UUID = "<now>", "<uuid>"
_SECONDS, _MILLISECONDS = 1, 1000
_A_DAY_S = 86_400
_TAG_CHARS = 4


def parse_json_path(text: str) -> JsonPath:
    """Return the steps of a path such as `$.messages[*].id`; the leading `$` may be left out.

    Raises:
        UsageError: If it is no path.
    """
    rest = text.removeprefix("$")
    rest = rest if rest.startswith((".", "[")) else f".{rest}"
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise UsageError(
                f"{text!r} is no path into JSON",
                where="match.ignore.json",
                next_step="write one such as $.messages[*].id",
            )
        index = found["index"]
        if index is None:
            steps.append(found["name"] if found["quote"] is None else found["quoted"])
        else:
            steps.append(index if index == "*" else int(index))
        at = found.end()
    if not steps:
        raise UsageError(
            f"{text!r} names the whole body", where="match.ignore.json", next_step="name a member of it"
        )
    return tuple(steps)


class MatchForm:
    """Makes the forms of one side: of what was recorded, or of what is sent now."""

    def __init__(
        self,
        *,
        paths: Sequence[JsonPath] = (),
        query: Collection[str] = (),
        normalise: Collection[str] = (),
        day: date | None = None,
    ) -> None:
        """Take what to leave out.

        Args:
            paths: Ignored paths of JSON bodies.
            query: Ignored query parameters.
            normalise: `date`, `uuid`, `boundary`.
            day: The day of this side, UTC; `None` where it is not known, so that no date is of the moment.
        """
        self._paths = tuple(paths)
        self._query = frozenset(query)
        self._uuid = "uuid" in normalise
        self._boundary = "boundary" in normalise
        self._day = day if "date" in normalise else None
        noon = (
            None
            if self._day is None
            else datetime(self._day.year, self._day.month, self._day.day, 12, tzinfo=UTC)
        )
        self._noon_s = None if noon is None else noon.timestamp()

    def key(self, request: HttpRequest, identity: Sequence[tuple[str, str]] = ()) -> str:
        """Return the fingerprint of a request in this form, with the tags of its identity."""
        return fingerprint([request.method, self.url(request.url), self.body(request), list(identity)])

    def url(self, url: str) -> str:
        """Return a URL without what may differ."""
        if self._query and "?" in url:
            parts = urlsplit(url)
            kept = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n not in self._query]
            url = urlunsplit(parts._replace(query=urlencode(kept)))
        return self._text(url)

    def body(self, request: HttpRequest) -> list[Any]:
        """Return a body without what may differ."""
        stored = self._without_boundary(request)
        if isinstance(stored, Encoded):
            return ["bytes", hashlib.sha256(unpack(stored)).hexdigest()]
        if not stored:
            return ["none"]
        if stored.lstrip()[:1] in {"{", "["}:
            try:
                value = orjson.loads(level(stored))
            except orjson.JSONDecodeError:
                return ["text", self._text(stored)]
            for path in self._paths:
                _drop(value, path)
            return ["json", self._value(value)]
        return ["text", self._text(stored)]

    def _without_boundary(self, request: HttpRequest) -> Stored:
        found = (
            _BOUNDARY.search(header_value(request.headers, "content-type") or "") if self._boundary else None
        )
        if found is None:
            return request.body
        plain = unpack(request.body).replace(found["text"].encode(), b"boundary")
        # As bytes in any case: whether a part is text takes no part in what it is.
        return Encoded(base64=base64.b64encode(plain).decode())

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case dict():
                return {name: self._value(each) for name, each in value.items()}
            case list():
                return [self._value(each) for each in value]
            case bool() | None:
                return value
            case int() | float() if self._is_now(value):
                return _NOW
            case _:
                return value

    def _is_now(self, number: float) -> bool:
        if self._noon_s is None:
            return False
        # A noon and one day and a half on both sides: the day of any time zone.
        return any(abs(number / unit - self._noon_s) <= 1.5 * _A_DAY_S for unit in (_SECONDS, _MILLISECONDS))

    def _text(self, text: str) -> str:
        text = level(text)
        if self._uuid:
            text = _UUID.sub(_ANY_UUID, text)
        if self._day is not None:
            text = _ISO.sub(self._dated(lambda m: int(m["m"])), text)
            for pattern in (_MONTH_FIRST, _DAY_FIRST):
                text = pattern.sub(self._dated(lambda m: _month(m["month"])), text)
        return text

    def _dated(self, month: Callable[[re.Match[str]], int]) -> Callable[[re.Match[str]], str]:
        def replaced(found: re.Match[str]) -> str:
            try:
                day = date(int(found["y"]), month(found), int(found["d"]))
            except ValueError:
                return found[0]
            assert self._day is not None
            return _NOW if abs((day - self._day).days) <= 1 else found[0]

        return replaced


def identity_tag(salt: str, value: str) -> str:
    """Return a tag that tells the values of one recording apart.

    Sixteen bits under a salt of the recording: enough to tell its users apart, far too few to find a credential by.
    """
    return hmac.new(salt.encode(), value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
        :_TAG_CHARS
    ]


def _drop(value: Any, path: JsonPath) -> None:
    """Take what a path names out of a value, in place; list entries become null, so that others keep their place."""
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        names = list(value) if step == "*" else [str(step)] if str(step) in value else []
        for name in names:
            if rest:
                _drop(value[name], rest)
            else:
                del value[name]
    elif isinstance(value, list):
        named = [step] if isinstance(step, int) and step < len(value) else []
        for index in range(len(value)) if step == "*" else named:
            if rest:
                _drop(value[index], rest)
            else:
                value[index] = None


def _month(name: str) -> int:
    return _MONTHS.index(name[:3]) + 1
