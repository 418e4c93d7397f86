"""Redaction of HTTP exchanges, before anything is hashed or written.

Rules.
1. Header values by the deny-list; user info and secret query parameters of URLs; bodies by their JSON leaves,
   or as text; streams by what their events say together; error texts.
2. What cannot be read is not written: an unknown content encoding drops the body, and says so.
3. A body without secrets keeps its bytes and chunks as they came, compressed ones too.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

from harness.redaction.redactor import Redactor
from harness.redaction.tripwire import looks_secret
from harness.wire.encodings import decode_content
from harness.wire.event_streams import clean_events, is_event_stream
from harness.wire.exchange import (
    Encoded,
    Headers,
    HttpAnswer,
    HttpError,
    HttpRequest,
    SentRequest,
    Stored,
    header_value,
    pack,
    unpack,
)

_USER_INFO = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<info>[^/?#@]*)@")
_PARAMETER = re.compile(r"(?<=[?&])(?P<name>[^=&#]{1,128})=(?P<value>[^&#]*)")
_SECRET_PARAMETERS = frozenset(
    {"key", "token", "sig", "signature", "auth", "code", "x-amz-signature", "x-amz-credential", "apikey"}
)
_SECRET_NAME = re.compile(
    r"(?:^|[-_])(?:token|secret|password|apikey|signature)$|api[-_]?key|^(?:proxy-)?authorization$|^(?:set-)?cookie$",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are never written, beside those the redactor knows."""
_UNREADABLE = "content-encoding {!r} cannot be read, so it cannot be searched for secrets"
_SUSPECT = "it still looked secret after redaction ({})"


class Scrubber:
    """Takes secrets out of the exchanges of one recording; use it from one thread at a time.

    Attributes:
        dropped: How many bodies were left out.
    """

    def __init__(self, redactor: Redactor | None) -> None:
        """Take the redactor; `None` keeps everything as it is."""
        self._redactor = redactor
        self.dropped: int = 0

    def request(self, sent: SentRequest) -> HttpRequest:
        """Return a request without secrets."""
        redactor = self._redactor
        if redactor is None:
            return HttpRequest(method=sent.method, url=sent.url, headers=sent.headers, body=pack(sent.body))
        headers = clean_headers(redactor, sent.headers)
        pieces, dropped, changed = self._body([sent.body], sent.headers)
        return HttpRequest(
            method=sent.method,
            url=clean_url(redactor, sent.url),
            headers=_fitted(headers, pieces) if changed else headers,
            body=pack(pieces[0]) if pieces else None,
            dropped=dropped,
        )

    def answer(self, answer: HttpAnswer) -> HttpAnswer:
        """Return an answer without secrets."""
        redactor = self._redactor
        if redactor is None:
            return answer
        pieces, dropped, changed = self._body([unpack(piece) for _, piece in answer.chunks], answer.headers)
        headers = clean_headers(redactor, answer.headers)
        offsets = [at for at, _ in answer.chunks]
        return (
            HttpAnswer(
                status=answer.status,
                reason=answer.reason,
                headers=_fitted(headers, pieces) if changed else headers,
                chunks=tuple(zip(offsets, map(pack, pieces), strict=True)) if changed else answer.chunks,
                end=answer.end,
                error=_clean_error(redactor, answer.error),
                dropped=dropped,
            )
            if dropped is None
            else self._without_body(answer, headers, dropped)
        )

    def refuse(self, line: bytes) -> str | None:
        """Return why a line may not be written; the tripwire behind the redactor."""
        found = None if self._redactor is None else looks_secret(line)
        return None if found is None else _SUSPECT.format(found)

    def _without_body(self, answer: HttpAnswer, headers: Headers, dropped: str) -> HttpAnswer:
        error = None if self._redactor is None else _clean_error(self._redactor, answer.error)
        return HttpAnswer(
            status=answer.status,
            reason=answer.reason,
            headers=headers,
            end=answer.end,
            error=error,
            dropped=dropped,
        )

    def _body(self, pieces: list[bytes], headers: Headers) -> tuple[list[bytes], str | None, bool]:
        """Return the pieces of a body, why it was dropped, and whether they were changed."""
        assert self._redactor is not None
        raw = b"".join(pieces)
        if not raw:
            return pieces, None, False
        encoding = header_value(headers, "content-encoding")
        if encoding is None or encoding.lower() == "identity":
            cleaned = _clean_bytes(self._redactor, pieces, headers)
            return (pieces, None, False) if cleaned is None else (cleaned, None, True)
        plain = decode_content(raw, encoding)
        if plain is None:
            self.dropped += 1
            return [], _UNREADABLE.format(encoding), False
        cleaned = _clean_bytes(self._redactor, [plain], headers)
        if cleaned is None:
            return pieces, None, False
        # What is written is no longer compressed; it stands in the first of the chunks.
        return [*cleaned, *[b""] * (len(pieces) - 1)], None, True


def clean_url(redactor: Redactor, url: str) -> str:
    """Return a URL without user info and secret parameters."""
    if "@" in url:
        url = _USER_INFO.sub(lambda found: f"{found['scheme']}{_hide(redactor, found['info'])}@", url)
    if "?" in url:
        url = _PARAMETER.sub(lambda found: _parameter(redactor, found), url)
    return redactor.text(url)


def clean_headers(redactor: Redactor, headers: Headers) -> Headers:
    """Return headers with the values of the deny-list replaced and shapes cleaned in the others."""
    grouped: dict[str, str | list[str]] = {}
    for name, value in headers:
        hidden = _hide(redactor, value) if _SECRET_NAME.search(name) else value
        known = grouped.setdefault(name, [])
        assert isinstance(known, list)
        known.append(hidden)
    cleaned = {name: iter(values) for name, values in redactor.headers(grouped).items()}
    return tuple([(name, next(cleaned[name])) for name, _ in headers])


def _hide(redactor: Redactor, value: str) -> str:
    """Replace a whole value, whatever it looks like."""
    hidden = redactor.headers({"authorization": value})["authorization"]
    assert isinstance(hidden, str)
    return hidden


def _parameter(redactor: Redactor, found: re.Match[str]) -> str:
    name = unquote_plus(found["name"])
    if name.lower() in _SECRET_PARAMETERS or _SECRET_NAME.search(name):
        return f"{found['name']}={_hide(redactor, found['value'])}"
    value = redactor.value({name: found["value"]}).get(name, found["value"])
    return f"{found['name']}={value}"


def _clean_bytes(redactor: Redactor, pieces: Sequence[bytes], headers: Headers) -> list[bytes] | None:
    """Return pieces without secrets, `None` if there were none; bytes that are no text are read as Latin-1."""
    for charset in ("utf-8", "latin-1"):
        try:
            decoder = codecs.getincrementaldecoder(charset)()
            texts = [decoder.decode(piece) for piece in pieces]
            tail = decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        texts[-1] += tail
        cleaned = _clean_texts(redactor, texts, header_value(headers, "content-type"))
        return None if cleaned is None else [text.encode(charset, "replace") for text in cleaned]
    return None


def _clean_texts(redactor: Redactor, texts: list[str], content_type: str | None) -> list[str] | None:
    if is_event_stream(content_type, texts[0]):
        return clean_events(texts, redactor)
    clean = redactor.redact_chunks(texts)
    return None if clean == texts else clean


def _clean_error(redactor: Redactor, error: HttpError | None) -> HttpError | None:
    if error is None:
        return None
    return HttpError(type=error.type, phase=error.phase, message=redactor.text(error.message))


def _fitted(headers: Headers, pieces: list[bytes]) -> Headers:
    """Return headers that fit a body which was changed: no encoding, its new length."""
    size = str(sum(map(len, pieces)))
    return tuple(
        (name, size if name.lower() == "content-length" else value)
        for name, value in headers
        if name.lower() != "content-encoding"
    )


def stored_size(stored: Stored) -> int:
    """Return about how many bytes a stored form takes in a file."""
    return len(stored.base64) if isinstance(stored, Encoded) else len(stored or "")
