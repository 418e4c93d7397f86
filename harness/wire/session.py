"""`record_http`: record or replay the HTTP traffic of a block, a function or a test."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from harness.wire import patch
from harness.wire.exchange import SentRequest
from harness.wire.exchange_recorder import OpenExchange, WireRecorder
from harness.wire.http_recording import SUFFIX, HttpFile, refuse_open
from harness.wire.misses import Miss, Unanswered, WireMiss
from harness.wire.neighbours import loaded_mocks, mocks_below, refuse_open_vcr
from harness.wire.player import Player, ServedExchange
from harness.wire.replay_guard import ReplayGuard
from harness.wire.routing import Channel, bind
from harness.wire.run_identity import RunIdentity
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
        redact: Take secrets out before anything is written.
        pace: Wait on replay as was waited: `True`, or a share such as 0.1.
        require_all: Raise if a replay did not ask for every recorded exchange.
        block_processes: Refuse to start processes in a replay; else they are named in a warning.
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
        siblings: bool = False,
        identity: RunIdentity | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take the settings; see `record_http`. With `siblings` each process has a file of its own."""
        self.path: Path = _file(Path(path))
        if mode not in _MODES:
            raise UsageError(f"mode {mode!r} is none of {', '.join(_MODES)}", where="record_http")
        self.mode: Mode = mode
        self._redact = redact
        self._pace = pace
        self._require_all = require_all
        self._block_processes = block_processes
        self._guard: ReplayGuard | None = None
        self._siblings = siblings
        self._identity = identity or RunIdentity()
        self._clock = clock or SystemClock()
        self._recorder: WireRecorder | None = None
        self._player: Player | None = None
        self._mocks: tuple[str, ...] = ()
        self._outer: Channel | None = None
        self._state: Literal["new", "open", "closed"] = "new"

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
        return () if self._player is None else tuple(self._player.misses)

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

    def begin(self, sent: SentRequest) -> OpenExchange:
        """Record that a request is about to be sent. Internal to goldrun."""
        assert self._recorder is not None
        if not self._mocks:
            self._mocks = mocks_below()
        return self._recorder.begin(sent)

    def serve(self, sent: SentRequest) -> ServedExchange:
        """Return the recorded answer to a request. Internal to goldrun.

        Raises:
            Unanswered: If there is none.
        """
        assert self._player is not None
        return self._player.serve(sent)

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
            self._player = Player(self._replayed_files())
        else:
            self._recorder = WireRecorder(
                self.path,
                redact=self._redact,
                clock=self._clock,
                siblings=self._siblings,
                identity=self._identity.completed(os.environ),
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
        elif self._player is not None:
            unused = self._player.unused if self._require_all and detail is None else ()
            if self._player.misses or unused:
                raise WireMiss(self._player.misses, where=str(self.path), unused=unused)

    def _warn(self) -> None:
        """Warn of a recording that holds no traffic, or a mock's answers."""
        if self._recorder is None or self._siblings:
            return
        if self._mocks:
            warnings.warn(
                f"{self.path}: answers of {', '.join(self._mocks)} were recorded as a server's; "
                "take the mock away to record the server, or the recording to test against the mock",
                RuntimeWarning,
                stacklevel=3,
            )
        elif self._recorder.count == 0:
            loaded = ", ".join(loaded_mocks())
            hint = f"; a mock may have answered first, loaded here: {loaded}" if loaded else ""
            warnings.warn(
                f"{self.path}: nothing was recorded, no request reached the network{hint}",
                RuntimeWarning,
                stacklevel=3,
            )

    def __enter__(self) -> Self:
        refuse_open_vcr(str(self.path))
        patch.install()
        try:
            self.open()
        except BaseException:
            patch.remove()
            raise
        self._outer = bind(self)
        if self._player is not None:
            self._guard = ReplayGuard(self._player, block_processes=self._block_processes)
            self._guard.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        made = _decorated(self._again, function)
        return functools.wraps(function)(made)  # type: ignore[return-value]  # same signature

    def _again(self) -> HttpSession:
        return HttpSession(
            self.path,
            mode=self.mode,
            redact=self._redact,
            pace=self._pace,
            require_all=self._require_all,
            block_processes=self._block_processes,
            siblings=self._siblings,
            identity=self._identity,
            clock=self._clock,
        )

    def _replayed_files(self) -> list[Path]:
        if not self._siblings:
            return [self.path]
        more = sorted(self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}"))
        numbered = [path for path in more if path.stem.removeprefix(f"{self.path.stem}-").isdecimal()]
        return [self.path, *numbered]


def _decorated(session: Callable[[], HttpSession], function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with session():
                return await function(*args, **kwargs)

        return call_async
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{function.__qualname__!r} is a generator: the context it runs in changes with its consumer",
            where="record_http",
            next_step="use `with record_http(...)` around the loop that consumes it",
        )

    def call(*args: Any, **kwargs: Any) -> Any:
        with session():
            return function(*args, **kwargs)

    return call


def _file(path: Path) -> Path:
    if path.suffix.lower() in {".yaml", ".yml"}:
        raise UsageError(
            "vcrpy's YAML is not recorded to",
            where=str(path),
            next_step=f"record to a {SUFFIX} file; `harness.wire.export` writes YAML from it",
        )
    return path if path.suffix else path.with_suffix(SUFFIX)
