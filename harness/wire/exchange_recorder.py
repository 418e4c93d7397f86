"""The recording side: exchanges are kept while they happen and written when they end.

Rules.
1. One append before an exchange and one when it has ended; nothing of a body is held back from the client.
2. A recorder that cannot write never disturbs the client: the fault is kept and raised when the session ends.
3. An earlier recording stays whole until the new one is: the new one is written beside it and takes its place.
4. A forked process writes a file of its own.
"""

from __future__ import annotations

import os
import platform
import secrets
import sys
import threading
from pathlib import Path

import msgspec

from harness.errors import CassetteError
from harness.redaction.redactor import process_redactor
from harness.wire.client_errors import describe_error, end_of
from harness.wire.exchange import Headers, HttpAnswer, HttpError, HttpRequest, SentRequest, pack
from harness.wire.exchange_index import identity_of
from harness.wire.http_recording import (
    FORMAT,
    ExchangeWriter,
    HttpFile,
    RecordingHead,
    read_http,
    refuse_open,
)
from harness.wire.match_rules import MatchRules
from harness.wire.request_key import request_key
from harness.wire.run_identity import RunIdentity
from harness.wire.scrub import Scrubber
from runtime.errors import JournalError, UsageError
from runtime.execution.clock import Clock, new_request_id
from runtime.journal.records import raw

MAX_KEPT_BYTES = 24 * 1024 * 1024
"""Longest body kept; a record holds at most 64 MiB and base64 and escapes make bytes longer."""
_TOO_LONG = f"it is longer than {MAX_KEPT_BYTES} bytes"
_CLIENTS = ("httpx", "httpx2", "requests", "urllib3", "aiohttp", "botocore", "openai", "anthropic")


class OpenExchange:
    """One exchange while it happens."""

    __slots__ = ("_began", "_chunks", "_head", "_length", "_recorder", "number", "sent")

    def __init__(self, recorder: WireRecorder, number: int, sent: SentRequest, began: float) -> None:
        self.number: int = number
        self.sent: SentRequest = sent
        self._recorder = recorder
        self._began = began
        self._head: tuple[int | None, str, Headers] = (None, "", ())
        self._chunks: list[tuple[float, bytes]] = []
        self._length = 0

    @property
    def sent_at(self) -> float:
        """Seconds since the recording began, at the sending."""
        return round(self._began, 6)

    def head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Take the head of the answer."""
        self._head = status, reason, tuple(headers)

    def chunk(self, data: bytes) -> None:
        """Take the next piece of the body as the client gets it."""
        if not data:
            return
        self._length += len(data)
        if self._length <= MAX_KEPT_BYTES:
            self._chunks.append((self._recorder.now_s() - self._began, data))

    def done(self) -> None:
        """End it: the body is whole."""
        self._recorder.finish(self, self._answer("done"), self._began)

    def closed(self) -> None:
        """End it: the client reads no further."""
        self._recorder.finish(self, self._answer("client_closed"), self._began)

    def fail(self, error: BaseException) -> None:
        """End it: the client raised this."""
        self._recorder.finish(self, self._answer(end_of(error), describe_error(error)), self._began)

    def _answer(self, end: str, error: HttpError | None = None) -> HttpAnswer:
        status, reason, headers = self._head
        too_long = self._length > MAX_KEPT_BYTES
        return HttpAnswer(
            status=status,
            reason=reason,
            headers=headers,
            chunks=() if too_long else tuple((round(at, 6), pack(data)) for at, data in self._chunks),
            end=end,  # type: ignore[arg-type]  # callers pass the literals
            error=error,
            dropped=_TOO_LONG if too_long else None,
        )


class WireRecorder:
    """Writes the exchanges of one session; safe to share between threads.

    Attributes:
        path: The requested file.
        count: Exchanges begun.
        files: Files written, also by processes forked from this one as far as this process knows.
    """

    def __init__(
        self,
        path: Path,
        *,
        redact: bool,
        clock: Clock,
        siblings: bool = False,
        identity: RunIdentity | None = None,
        rules: MatchRules | None = None,
        before: HttpFile | None = None,
    ) -> None:
        """Take the place to write to; the file is made by `open` or with the first exchange.

        Args:
            path: The file.
            redact: Whether secrets are taken out.
            clock: Says when.
            siblings: Whether to take another name where the file is there or in use.
            identity: What the run is called.
            rules: How much of a request must be as recorded; kept in the header.
            before: A recording to write anew with further exchanges.
        """
        self.path = path
        self.count: int = 0
        self.files: list[Path] = []
        self._redact = redact
        self._clock = clock
        self._siblings = siblings
        self._identity = identity or RunIdentity()
        self._rules = rules
        self._before = before
        # Processes of one recording have one salt, so that a user has one tag in all of them.
        self._salt = path.name if siblings else secrets.token_hex(8)
        self._lock = threading.Lock()
        self._writer: ExchangeWriter | None = None
        self._fault: JournalError | CassetteError | UsageError | None = None
        self._start_over()

    @property
    def dropped(self) -> int:
        """How many bodies were left out because they could not be searched for secrets."""
        return self._scrubber.dropped

    def so_far(self) -> HttpFile | None:
        """Return what was written so far; `None` if nothing was.

        Raises:
            CassetteError: If it cannot be read.
        """
        with self._lock:
            if not self.files:
                return None
            return read_http(self.files[-1] if self._writer is None else self._writer.path)

    def now_s(self) -> float:
        """Return seconds since the recording began."""
        return self._clock.monotonic_s() - self._began

    def open(self) -> None:
        """Make the file.

        Raises:
            UsageError: If it is in use, or a recording that was cut off lies where the new one is written.
            CassetteError: If it cannot be written.
        """
        with self._lock:
            self._open()

    def begin(self, sent: SentRequest) -> OpenExchange:
        """Write that a request is about to be sent; never raises for what concerns the file."""
        if os.getpid() != self._pid:
            self._after_fork()
        with self._lock:
            number = self.count
            self.count += 1
            exchange = OpenExchange(self, number, sent, self.now_s())
            self._open_now[number] = exchange
            if self._fault is None:
                try:
                    self._write_intent(exchange, sent)
                except (JournalError, CassetteError, UsageError) as fault:
                    self._fault = fault
        return exchange

    def finish(self, exchange: OpenExchange, answer: HttpAnswer, began: float) -> None:
        """Write how an exchange ended, once."""
        if os.getpid() != self._pid:
            return  # begun by the process that forked us, which ends it
        now = self.now_s()
        with self._lock:
            if self._open_now.get(exchange.number) is not exchange:
                return
            del self._open_now[exchange.number]
            if self._fault is not None or self._writer is None:
                return
            try:
                body = self._answer_body(answer)
                stack = exchange.sent.stack
                self._writer.outcome(exchange.number, stack, body, round(now, 6), round(now - began, 6))
            except JournalError as fault:
                self._fault = fault

    def close(self, detail: str | None = None) -> None:
        """End what is open as closed by its client, end the file and put it in place.

        Raises:
            CassetteError: If something could not be written; what was written stays.
        """
        if os.getpid() != self._pid:
            return None
        for exchange in list(self._open_now.values()):
            exchange.closed()
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is None:
                return self._raise_fault()
            try:
                if self._fault is None:
                    writer.end(self.count, detail)
            except JournalError as fault:
                self._fault = fault
            finally:
                writer.close()
            self._raise_fault()
            if writer.path != self.files[-1]:
                writer.path.replace(self.files[-1])
        return None

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise CassetteError(
                f"the recording is not whole: {self._fault.what}",
                where=self._fault.where or str(self.path),
                next_step=self._fault.next_step,
            ) from self._fault

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._scrubber = Scrubber(process_redactor(os.environ) if self._redact else None)
        self._began = self._clock.monotonic_s()
        self._writer = None
        self._fault = None
        self._open_now: dict[int, OpenExchange] = {}

    def _after_fork(self) -> None:
        # The parent's descriptor and lock are shared with us; its file is not ours to write.
        self._lock = threading.Lock()
        self._start_over()
        self._siblings = True
        self.count = 0
        self.files = []

    def _open(self) -> None:
        if self._writer is not None:
            return
        names = msgspec.structs.asdict(self._identity)
        head = RecordingHead(
            **{**names, "request_id": self._identity.request_id or new_request_id()},
            format=FORMAT,
            kind="http",
            started_at=self._clock.now().isoformat(),
            redaction="default" if self._redact else "none",
            python=platform.python_version(),
            clients=_versions(),
            match=self._rules,
            salt=self._salt if self._rules is not None and self._rules.identity else None,
        )
        if self._before is not None:
            head = self._before.head
        self._writer, target = _claim(self.path, head, siblings=self._siblings)
        self.files.append(target)
        if self._before is not None:
            self._copy(self._writer, self._before)

    def _copy(self, writer: ExchangeWriter, before: HttpFile) -> None:
        """Write the exchanges of an earlier recording; time goes on from its end."""
        last = 0.0
        for exchange in before.exchanges:
            at, duration = exchange.at or 0.0, exchange.duration_s or 0.0
            last = max(last, at + duration)
            writer.intent(exchange.number, exchange.stack, exchange.key, raw(exchange.request), at)
            if exchange.outcome is not None:
                end = round(at + duration, 6)
                writer.outcome(exchange.number, exchange.stack, exchange.outcome, end, duration)
        self.count = len(before.exchanges)
        self._began -= last

    def _write_intent(self, exchange: OpenExchange, sent: SentRequest) -> None:
        self._open()
        assert self._writer is not None
        request = self._scrubber.request(sent)
        if len(sent.body) > MAX_KEPT_BYTES:
            request = msgspec.structs.replace(request, body=None, dropped=_TOO_LONG)
        if self._rules is not None and self._rules.identity:
            request = msgspec.structs.replace(request, identity=identity_of(self._rules, self._salt, sent))
        body = raw(request)
        reason = self._scrubber.refuse(bytes(body))
        if reason is not None:
            self._scrubber.dropped += 1
            request = HttpRequest(method=request.method, url="", dropped=reason)
            body = raw(request)
        self._writer.intent(exchange.number, sent.stack, request_key(request), body, exchange.sent_at)

    def _answer_body(self, answer: HttpAnswer) -> msgspec.Raw:
        clean = self._scrubber.answer(answer)
        body = raw(clean)
        reason = self._scrubber.refuse(bytes(body))
        if reason is None:
            return body
        self._scrubber.dropped += 1
        return raw(HttpAnswer(status=answer.status, end=answer.end, dropped=reason))


def _claim(path: Path, head: RecordingHead, *, siblings: bool) -> tuple[ExchangeWriter, Path]:
    """Return a writer and the file that its recording is to become."""
    request_id = head.request_id
    for number in range(1, 10_000):
        target = path if number == 1 else sibling(path, number)
        if number > 1 and request_id is not None:
            # Each process's part of the recording is a run of its own.
            head = msgspec.structs.replace(head, request_id=f"{request_id}-{number}")
        try:
            if siblings:
                if target.exists():
                    continue
                return ExchangeWriter(target, head), target
            if not target.exists():
                return ExchangeWriter(target, head), target
            refuse_open(target)
            return _beside(target, head), target
        except UsageError:
            if not siblings:
                raise
        except OSError as error:
            raise CassetteError(f"cannot be written: {error.strerror}", where=str(target)) from error
    raise CassetteError("no name is free for a new recording", where=str(path))


def _beside(target: Path, head: RecordingHead) -> ExchangeWriter:
    new = target.with_name(target.name + ".new")
    if new.exists():
        raise UsageError(
            "a recording that was cut off, or is being made, lies here",
            where=str(new),
            next_step="look at it with `goldrun lift`, then move or delete it",
        )
    return ExchangeWriter(new, head)


def sibling(path: Path, number: int) -> Path:
    """Return the name of a further process's recording beside `path`."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _versions() -> dict[str, str]:
    loaded = [(name, sys.modules.get(name)) for name in _CLIENTS]
    return {name: str(getattr(module, "__version__", "")) for name, module in loaded if module is not None}
