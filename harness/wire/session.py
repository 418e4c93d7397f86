"""`record_http`: record or replay the HTTP traffic of a block, a function or a test."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping
from datetime import UTC, date
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar

from harness.wire import patch
from harness.wire.exchange import SentRequest
from harness.wire.exchange_index import DEFAULT_RULES
from harness.wire.exchange_recorder import OpenExchange, WireRecorder
from harness.wire.http_recording import HttpFile, refuse_open
from harness.wire.match_rules import MatchRules, match_rules
from harness.wire.misses import Miss, Unanswered, WireMiss
from harness.wire.neighbours import mocks_below, refuse_open_vcr, warn_of_mocks
from harness.wire.player import Player, ServedExchange
from harness.wire.replay_guard import ReplayGuard
from harness.wire.routing import Channel, bind
from harness.wire.run_identity import RunIdentity
from harness.wire.session_around import recording_file, session_around
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.execution.clock import Clock, SystemClock

Mode = Literal["auto", "record", "replay"]
F = TypeVar("F", bound=Callable[..., Any])
_MODES = ("auto", "record", "replay")
_LET_THROUGH = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)


@checks_arguments
def record_http(
    path: str | os.PathLike[str],
    *,
    mode: Mode = "auto",
    redact: bool = True,
    pace: bool | float = False,
    require_all: bool = False,
    block_processes: bool = False,
    match: Mapping[str, Any] | MatchRules | None = None,
    agent: str | None = None,
    agent_version: str | None = None,
    deploy: str | None = None,
    task: str | None = None,
    tenant: str | None = None,
    environment: str | None = None,
    request_id: str | None = None,
) -> HttpSession:
    """Record or replay the HTTP traffic of a block: `with`, `async with`, or as a decorator.

    Only calls of the bound context are touched, with the tasks and threads it starts. A replay never goes to the
    network: a request without a recorded answer stops its client, as does any other connection of the process but to
    loopback, and the block raises `WireMiss` at its end, also if the agent swallowed that. The agent's tools do run.
    Decorated functions make a session for each call.

    Args:
        path: The recording; without a suffix `.jsonl` is added.
        mode: `record` writes a recording, in place of an earlier one once it is whole; `replay` answers from it;
            `auto` replays where the file is there, else records.
        redact: Remove secrets before anything is written.
        pace: Wait on replay as was waited: `True`, or a share such as 0.1.
        require_all: Raise if a replay did not ask for every recorded exchange.
        block_processes: Refuse to start processes in a replay; else they are named in a warning.
        match: How much of a request must be as recorded, as a mapping (docs/http-recording.md); kept in the
            recording, so that a replay needs it only to change it.
        agent: Name of the agent, for lists and reports.
        agent_version: Its version.
        deploy: Version label that reports compare.
        task: What the run is about; reports pair runs by it.
        tenant: Whose run it is.
        environment: Which world: `prod`, `staging`, `test`, ...
        request_id: Finds the run; made here if not given. Names that are not given are taken from the environment:
            `GOLDRUN_AGENT`, `GOLDRUN_DEPLOY` and so on.

    Raises:
        UsageError: If the mode is none of these, the file's form is not written here, or a cassette of vcrpy is
            open when the block begins.
    """
    identity = RunIdentity(
        request_id=request_id,
        tenant=tenant,
        environment=environment,
        agent=agent,
        agent_version=agent_version,
        deploy=deploy,
        task=task,
    )
    return HttpSession(
        path,
        mode=mode,
        redact=redact,
        pace=pace,
        require_all=require_all,
        block_processes=block_processes,
        match=match,
        identity=identity,
    )


class HttpSession:
    """One recording or replay; entered once, or used as a decorator any number of times.

    Attributes:
        path: The file.
        mode: The requested mode.
        misses: Requests of a replay that were not recorded.
    """

    @checks_arguments
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Mode = "auto",
        redact: bool = True,
        pace: bool | float = False,
        require_all: bool = False,
        block_processes: bool = False,
        match: Mapping[str, Any] | MatchRules | None = None,
        siblings: bool = False,
        identity: RunIdentity | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take the settings; see `record_http`. With `siblings` each process has a file of its own."""
        self.path: Path = recording_file(Path(path))
        if mode not in _MODES:
            raise UsageError(f"mode {mode!r} is none of {', '.join(_MODES)}", where="record_http")
        self.mode: Mode = mode
        self._redact = redact
        self._pace = pace
        self._require_all = require_all
        self._block_processes = block_processes
        self._rules = match_rules(match, where=str(path))
        self._blocked: list[Miss] = []
        self._guard: ReplayGuard | None = None
        self._siblings = siblings
        self._identity = identity or RunIdentity()
        self._clock = clock or SystemClock()
        self._recorder: WireRecorder | None = None
        self._player: Player | None = None
        self._mocks: tuple[str, ...] = ()
        self._outer: Channel | None = None
        self._entered = False
        self._state: Literal["new", "open", "closed"] = "new"

    @property
    def rules(self) -> MatchRules:
        """How much of a request must be as recorded. Internal to goldrun."""
        return self._player.rules if self._player is not None else self._rules or DEFAULT_RULES

    @property
    def is_open(self) -> bool:
        """Whether it takes calls."""
        return self._state == "open"

    @property
    def is_replay(self) -> bool:
        """Whether calls are answered from the file; known once it was entered."""
        return self._player is not None

    @property
    def pace(self) -> float:
        """Share of the recorded waiting that a replay waits too."""
        return float(self._pace)

    @property
    def outer(self) -> Channel | None:
        """The session around this one. Internal to goldrun."""
        return self._outer

    @property
    def count(self) -> int:
        """Exchanges recorded so far, or requests made to a replay."""
        if self._recorder is not None:
            return self._recorder.count
        return 0 if self._player is None else self._player.calls

    @property
    def misses(self) -> tuple[Miss, ...]:
        """Requests of a replay that were not recorded."""
        return tuple(self._blocked) if self._player is None else tuple(self._player.misses)

    @property
    def unused(self) -> tuple[int, ...]:
        """Numbers of the recorded exchanges that a replay did not ask for."""
        return () if self._player is None else self._player.unused

    @property
    def dropped(self) -> int:
        """Bodies left out of a recording because they could not be searched for secrets."""
        return 0 if self._recorder is None else self._recorder.dropped

    @property
    def files(self) -> tuple[Path, ...]:
        """Files this process wrote."""
        return () if self._recorder is None else tuple(self._recorder.files)

    def so_far(self) -> HttpFile:
        """Return the exchanges that were recorded, or answered from the recording, up to now. Internal to goldrun.

        Raises:
            UsageError: If the session was not begun.
            CassetteError: If the recording cannot be read.
        """
        if self._player is not None:
            return HttpFile(path=self.path, head=self._player.head, exchanges=self._player.served, ended=True)
        written = None if self._recorder is None else self._recorder.so_far()
        if written is None:
            raise UsageError(
                "nothing was recorded yet", where=str(self.path), next_step="ask once the agent has run"
            )
        return written

    def take(self, sent: SentRequest) -> OpenExchange | ServedExchange | None:
        """Return the exchange to record a request in, or its recorded answer. Internal to goldrun.

        Raises:
            Unanswered: If the request is refused, or a replay has no answer to it.
        """
        rule = self.rules.host_rule(sent.url)
        if rule == "block":
            self._refuse_host(sent)
        if rule != "record":
            return self._player.empty(sent) if rule == "ignore" and self._player is not None else None
        if self._player is None:
            return self._begin(sent)
        if self.rules.new == "refuse":
            return self._player.serve(sent)
        found = self._player.find(sent)
        return self._begin(sent) if isinstance(found, Miss) else found

    def _begin(self, sent: SentRequest) -> OpenExchange:
        """Record that a request is about to be sent."""
        if self._recorder is None:
            self._recorder = self._appender()
        if not self._mocks:
            self._mocks = mocks_below()
        return self._recorder.begin(sent)

    def _appender(self) -> WireRecorder:
        assert self._player is not None
        before = HttpFile(
            path=self.path, head=self._player.head, exchanges=self._player.exchanges, ended=True
        )
        recorder = WireRecorder(
            self.path, redact=self._redact, clock=self._clock, rules=self._rules, before=before
        )
        recorder.open()
        return recorder

    def _refuse_host(self, sent: SentRequest) -> NoReturn:
        miss = Miss(
            verdict="blocked",
            method=sent.method,
            url=sent.url,
            call=self.count,
            detail="match.hosts blocks it",
        )
        if self._player is not None:
            self._player.stop(miss)
        self._blocked.append(miss)
        raise Unanswered(miss, str(self.path))

    def open(self) -> Self:
        """Start without binding a context; for callers that hand it to clients themselves.

        Raises:
            UsageError: If it was used already.
            CassetteError: If the recording to replay is missing or damaged, or none can be written.
        """
        if self._state != "new":
            raise UsageError(
                "this recording was used already", where=str(self.path), next_step="make a new one"
            )
        replays = self.mode == "replay" or (self.mode == "auto" and self.path.exists())
        if replays:
            refuse_open(self.path)
            self._player = Player(self._replayed_files(), rules=self._rules, today=self._today)
        else:
            self._recorder = WireRecorder(
                self.path,
                redact=self._redact,
                clock=self._clock,
                siblings=self._siblings,
                identity=self._identity.completed(os.environ),
                rules=self._rules,
            )
            if not self._siblings:
                self._recorder.open()
        self._state = "open"
        return self

    def close(self, detail: str | None = None) -> None:
        """End the recording, or check the replay; closing twice is harmless.

        Raises:
            WireMiss: If a replay missed something.
            CassetteError: If a recording could not be written.
        """
        if self._state != "open":
            return
        self._state = "closed"
        if self._recorder is not None:
            self._recorder.close(detail)
        unused = self.unused if self._require_all and detail is None else ()
        if self.misses or unused:
            raise WireMiss(self.misses, where=str(self.path), unused=unused)

    def _warn(self) -> None:
        """Warn of a recording that holds no traffic, or a mock's answers."""
        if self._recorder is not None and self._player is None and not self._siblings:
            warn_of_mocks(str(self.path), self._mocks, self._recorder.count)

    def __enter__(self) -> Self:
        refuse_open_vcr(str(self.path))
        patch.install()
        try:
            self.open()
        except BaseException:
            patch.remove()
            raise
        self._outer = bind(self)
        self._entered = True
        if self._player is not None and self.rules.new == "refuse":
            self._guard = ReplayGuard(
                self._player, block_processes=self._block_processes, passed=self.rules.hosts.passed
            )
            self._guard.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:
            return  # it was never entered, or is left already: the patches are another session's
        self._entered = False
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()
        bind(self._outer)
        patch.remove()
        if guard is not None and error is None:
            guard.warn(str(self.path))
        if error is None:
            self.close()
            self._warn()
            return
        try:
            self.close(detail=type(error).__name__)
        except WireMiss as miss:
            if isinstance(error, _LET_THROUGH):
                return
            # The signal has said all the error says; any other cause is worth keeping.
            raise miss from (None if isinstance(error, Unanswered) else error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Return the function with a session of its own around each call."""
        made = session_around(self._again, function)
        return functools.wraps(function)(made)  # type: ignore[return-value]  # same signature

    def _again(self) -> HttpSession:
        return HttpSession(
            self.path,
            mode=self.mode,
            redact=self._redact,
            pace=self._pace,
            require_all=self._require_all,
            block_processes=self._block_processes,
            match=self._rules,
            siblings=self._siblings,
            identity=self._identity,
            clock=self._clock,
        )

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()

    def _replayed_files(self) -> list[Path]:
        if not self._siblings:
            return [self.path]
        more = sorted(self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}"))
        numbered = [path for path in more if path.stem.removeprefix(f"{self.path.stem}-").isdecimal()]
        return [self.path, *numbered]
