"""Memory: facts about subjects of one tenant and environment, each with an end; in memory or in SQLite.

The audit is called inside the transaction: after a change was made and before it is committed. If the audit cannot
keep the change, the change is rolled back. If the process dies between the two, the audit names a change that never
happened, which is the harmless error. Reads never return expired facts, swept or not.
"""

from __future__ import annotations

import copy
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from runtime.core.canonical import valid_text
from runtime.errors import DataError, UsageError
from runtime.ports.state import MemoryAudit, MemoryChange, MemoryEntry, Scope

MAX_VALUE_BYTES = 64 * 1024
APPLICATION_ID = 0x676D656D
_VERSION = 1
_SCHEMA = (
    "CREATE TABLE facts (tenant TEXT NOT NULL, environment TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL,"
    " value BLOB NOT NULL, written_at REAL NOT NULL, expires_at REAL NOT NULL, request_id TEXT NOT NULL,"
    " PRIMARY KEY (tenant, environment, subject, name)) WITHOUT ROWID",
    "CREATE INDEX facts_by_end ON facts (tenant, environment, expires_at)",
)
_OF_SUBJECT = "FROM facts WHERE tenant=? AND environment=? AND subject=?"
_COLUMNS = "subject, name, value, written_at, expires_at, request_id"


class SqliteMemory:
    """Memory of one scope in an SQLite file that scopes share; `runtime.ports.state.Memory`.

    Any thread may use it; each process opens its own.
    """

    def __init__(
        self,
        path: Path | str,
        scope: Scope,
        *,
        audit: MemoryAudit,
        now: Callable[[], float],
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        """Open or make the file.

        Args:
            path: The file; `:memory:` for one that ends with this object.
            scope: Whose memory it is.
            audit: Called with each change; an exception undoes the change.
            now: Gives epoch seconds.
            max_value_bytes: What one value may take as JSON.

        Raises:
            DataError: If it cannot be opened, is something else, or of another version.
        """
        self.scope = scope
        self._where = str(path)
        self._audit = audit
        self._now = now
        self._max_value_bytes = max_value_bytes
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                self._where, timeout=10.0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._fault(error) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> SqliteMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing it twice is harmless."""
        with self._lock:
            self._db.close()

    def of(self, scope: Scope, *, audit: MemoryAudit) -> SqliteMemory:
        """Return the memory of another scope in the same file, over the same connection."""
        other = copy.copy(self)
        vars(other).update(scope=scope, _audit=audit)
        return other

    def put(self, subject: str, name: str, value: Any, *, ttl_s: float, request_id: str) -> MemoryEntry:
        """Remember a JSON value for some seconds, in place of the one before."""
        raw = self._checked(subject, name, value, ttl_s, request_id)
        now = self._now()
        entry = MemoryEntry(
            subject=subject,
            name=name,
            value=msgspec.json.decode(raw),
            written_at=now,
            expires_at=now + ttl_s,
            request_id=request_id,
        )
        row = (*self._key(subject), name, raw, now, entry.expires_at, request_id)
        with self._change() as db:
            db.execute(f"INSERT OR REPLACE INTO facts VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - only marks
            self._report(
                "put",
                subject,
                name,
                size_bytes=len(raw),
                at=now,
                expires_at=entry.expires_at,
                request_id=request_id,
            )
        return entry

    def get(self, subject: str, name: str) -> MemoryEntry | None:
        """Return what is remembered; `None` if nothing is, or no longer."""
        rows = self._rows("AND name=?", subject, name)
        return rows[0] if rows else None

    def entries(self, subject: str) -> tuple[MemoryEntry, ...]:
        """Return all that is remembered of a subject, by name."""
        return tuple(self._rows("", subject))

    def forget(self, subject: str, name: str | None = None, *, request_id: str) -> int:
        """Remove one fact, or all of a subject; return how many there were, expired ones included."""
        _texts(subject=subject, name="all" if name is None else name, request_id=request_id)
        now = self._now()
        more = "" if name is None else " AND name=?"
        names = () if name is None else (name,)
        with self._change() as db:
            count = db.execute(f"DELETE {_OF_SUBJECT}{more}", (*self._key(subject), *names)).rowcount
            # Also if there was nothing: a deletion request must leave a trace in any case.
            self._report("forget", subject, name, entries=count, at=now, request_id=request_id)
        return count

    def sweep(self) -> int:
        """Remove what has expired; return how many there were. The audit gets one change for each subject."""
        now = self._now()
        ended = "FROM facts WHERE tenant=? AND environment=? AND expires_at<=?"
        of = (self.scope.tenant, self.scope.environment, now)
        with self._change() as db:
            found = db.execute(f"SELECT subject, count(*) {ended} GROUP BY subject ORDER BY subject", of)
            for subject, count in found.fetchall():
                self._report("expire", subject, None, entries=count, at=now)
            return db.execute(f"DELETE {ended}", of).rowcount

    def _rows(self, more: str, subject: str, *values: str) -> list[MemoryEntry]:
        statement = f"SELECT {_COLUMNS} {_OF_SUBJECT} AND expires_at>? {more} ORDER BY name"
        try:
            with self._lock:
                rows = self._db.execute(statement, (*self._key(subject), self._now(), *values)).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from error
        return [
            MemoryEntry(
                subject=row[0],
                name=row[1],
                value=msgspec.json.decode(row[2]),
                written_at=row[3],
                expires_at=row[4],
                request_id=row[5],
            )
            for row in rows
        ]

    def _checked(self, subject: str, name: str, value: Any, ttl_s: float, request_id: str) -> bytes:
        _texts(subject=subject, name=name, request_id=request_id)
        if not (ttl_s > 0 and math.isfinite(ttl_s)):
            raise UsageError(
                f"{ttl_s!r} seconds is no time to remember something", next_step="use a finite time above 0"
            )
        try:
            raw = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise UsageError(f"the value of {name!r} has no JSON form: {error}") from error
        if len(raw) > self._max_value_bytes:
            raise UsageError(
                f"the value of {name!r} has {len(raw)} bytes, above {self._max_value_bytes}",
                next_step="put it into the artifacts and remember its digest",
            )
        return raw

    def _key(self, subject: str) -> tuple[str, str, str]:
        return self.scope.tenant, self.scope.environment, subject

    def _report(self, action: Any, subject: str, name: str | None, **facts: Any) -> None:
        self._audit(
            MemoryChange(
                scope_tenant=self.scope.tenant,
                scope_environment=self.scope.environment,
                action=action,
                subject=subject,
                name=name,
                **facts,
            )
        )

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside one write transaction; whatever is raised rolls it back."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise self._fault(error) from error

    def _prepare(self) -> None:
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if not tables:
                    for statement in _SCHEMA:
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                    self._db.execute(f"PRAGMA user_version={_VERSION}")
                found = [
                    self._db.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("application_id", "user_version")
                ]
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._fault(error) from error
        if found != [APPLICATION_ID, _VERSION]:
            raise DataError(
                "this is a database, but no memory of this version",
                where=self._where,
                next_step="name another file",
            )

    def _fault(self, error: sqlite3.Error) -> DataError:
        return DataError(
            f"the memory cannot be used: {error}",
            where=self._where,
            next_step="check that the file can be written and is on a local disk",
        )


class VolatileMemory(SqliteMemory):
    """Memory of one scope that ends with the process; the same code on a database without a file."""

    def __init__(
        self,
        scope: Scope,
        *,
        audit: MemoryAudit,
        now: Callable[[], float],
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        """Make an empty memory; see `SqliteMemory` for the arguments."""
        super().__init__(":memory:", scope, audit=audit, now=now, max_value_bytes=max_value_bytes)


def _texts(**named: str) -> None:
    for what, text in named.items():
        if not text or valid_text(text) != text:
            raise UsageError(f"{text!r} is no {what.replace('_', ' ')} of a memory")
