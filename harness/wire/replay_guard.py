"""The network guard of one replay: this process by an audit hook, its Python children by their environment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from harness.wire.network_guard import NetworkGuard, guarded_network, loaded_native
from harness.wire.player import Player

GUARD_VARIABLE = "GOLDRUN_NETWORK_GUARD"
_BOOTSTRAP = str(Path(__file__).resolve().parent / "bootstrap")
_SHOWN = 5


class ReplayGuard:
    """Holds the guard while a replay is open; what it refuses is a miss of the replay."""

    def __init__(self, player: Player, *, block_processes: bool, passed: Iterable[str] = ()) -> None:
        """Take the rules; see `NetworkGuard`."""
        self._passed = tuple(passed)
        self._guard = NetworkGuard(
            player.refuse_network,
            recorded=player.reached(),
            passed=self._passed,
            block_processes=block_processes,
        )
        self._undo = ExitStack()

    def hold(self) -> None:
        """Begin to refuse connections."""
        self._undo.enter_context(guarded_network(self._guard))
        self._undo.callback(_restore, {name: os.environ.get(name) for name in ("PYTHONPATH", GUARD_VARIABLE)})
        path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_BOOTSTRAP, path]))
        os.environ[GUARD_VARIABLE] = ",".join(self._passed)

    def release(self) -> None:
        """Let go."""
        self._undo.close()

    def warn(self, where: str) -> None:
        """Warn of what the guard did not see."""
        unwatched = [f"{name} is loaded" for name in loaded_native()]
        # Children that are Python follow the guard's environment.
        foreign = [name for name in self._guard.started if not Path(name).name.startswith("python")]
        programs = list(dict.fromkeys(foreign))
        if programs:
            more = f" and {len(programs) - _SHOWN} more" if len(programs) > _SHOWN else ""
            unwatched.append(f"started {', '.join(programs[:_SHOWN])}{more}")
        if unwatched:
            warnings.warn(
                f"{where}: a replay does not watch the connections of native clients and other programs: "
                f"{'; '.join(unwatched)}",
                RuntimeWarning,
                stacklevel=4,
            )


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
