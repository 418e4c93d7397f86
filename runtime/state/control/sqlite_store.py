"""The embedded control store: one SQLite file for all processes of one machine."""

from __future__ import annotations

from pathlib import Path

from runtime.core.signatures import checks_arguments
from runtime.state.control.sqlite_acts import SqliteActs
from runtime.state.control.sqlite_approvals import SqliteApprovals, SqliteSwitches
from runtime.state.control.sqlite_calls import SqliteCalls
from runtime.state.control.sqlite_claims import SqliteClaims
from runtime.state.control.sqlite_file import BUSY_TIMEOUT_S, SqliteFile
from runtime.state.control.sqlite_limits import SqliteBreakers, SqliteLeases, SqliteRates
from runtime.state.control.sqlite_runs import SqliteRuns
from runtime.state.control.sqlite_spend import SqliteSpend


class SqliteControlStore(
    SqliteSpend,
    SqliteClaims,
    SqliteLeases,
    SqliteRates,
    SqliteBreakers,
    SqliteCalls,
    SqliteSwitches,
    SqliteApprovals,
    SqliteRuns,
    SqliteActs,
):
    """A `ControlStore` on one SQLite file; usable from any thread and after a fork."""

    @checks_arguments
    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open or make the file; see `SqliteFile` for what is raised."""
        self._file = SqliteFile(path, busy_timeout_s=busy_timeout_s)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        self._file.close()
