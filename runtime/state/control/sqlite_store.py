"""The embedded control store: one SQLite file for all processes of one machine."""

from __future__ import annotations

from pathlib import Path

from runtime.core.signatures import checks_arguments
from runtime.state.control.sqlite_acts import SqliteActs
from runtime.state.control.sqlite_approvals import SqliteApprovals
from runtime.state.control.sqlite_calls import SqliteCalls
from runtime.state.control.sqlite_claims import SqliteClaims
from runtime.state.control.sqlite_file import DEADLINE_S, SqliteFile
from runtime.state.control.sqlite_limits import SqliteBreakers, SqliteLeases, SqliteRates
from runtime.state.control.sqlite_runs import SqliteRuns
from runtime.state.control.sqlite_spend import SqliteSpend
from runtime.state.control.sqlite_switches import SqliteSwitches, SqliteWorkers


class SqliteControlStore(
    SqliteSpend,
    SqliteClaims,
    SqliteLeases,
    SqliteRates,
    SqliteBreakers,
    SqliteCalls,
    SqliteSwitches,
    SqliteWorkers,
    SqliteApprovals,
    SqliteRuns,
    SqliteActs,
):
    """A `ControlStore` on one SQLite file; usable from any event loop and after a fork."""

    @checks_arguments
    def __init__(self, path: Path, *, busy_timeout_s: float = DEADLINE_S) -> None:
        """Open or make the file.

        Args:
            path: The file; its folder must exist. Not on a network file system.
            busy_timeout_s: Seconds within which an operation is answered or refused, whatever holds the file.

        Raises:
            ControlUnavailable: If it cannot be opened.
            DataError: If it is something else, or of a newer version.
        """
        self._file = SqliteFile(path, deadline_s=busy_timeout_s)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def close(self) -> None:
        """Let go of the file, once what was asked is done; closing twice is harmless."""
        self._file.close()
