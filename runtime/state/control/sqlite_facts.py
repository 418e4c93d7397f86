"""What the guards of a call look at, read from a control file in one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from functools import cache

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerState
from runtime.control.ledger import ScopeUse
from runtime.control.ratelimit import RateState
from runtime.ports.control_values import RunOwner, RunTakenOver, SwitchesChanged
from runtime.state.control.sqlite_spend import COLUMNS, use_of

_encode = msgspec.json.Encoder().encode
_decode_rate = msgspec.json.Decoder(RateState).decode
_decode_breaker = msgspec.json.Decoder(BreakerState).decode


class CallFacts:
    """What was read.

    Attributes:
        epoch: Of the switches.
        fencing: Number of the run's owner; `None` if the run is not known, or was not asked for.
        uses: Use of the scopes that are known.
    """

    __slots__ = ("_cells", "epoch", "fencing", "uses")

    def __init__(self) -> None:
        self.epoch: int = 0
        self.fencing: int | None = None
        self.uses: dict[str, ScopeUse] = {}
        self._cells: dict[tuple[str, str], bytes] = {}

    def add(self, row: tuple[object, ...]) -> None:
        """Take a row of the statement."""
        what, key = row[0], str(row[1])
        if what == "epoch":
            self.epoch = int(str(row[2]))
        elif what == "owner":
            self.fencing = int(str(row[2]))
        elif what == "scope":
            self.uses[key] = use_of(row[1:])
        else:
            assert isinstance(row[2], bytes)
            self._cells[str(what), key] = row[2]

    def check(self, owner: RunOwner | None, epoch: int | None) -> None:
        """Refuse to act for a run that another process has, or under other switches than the caller knows.

        Raises:
            RunTakenOver: If the run was taken over, or is not known here.
            SwitchesChanged: If the switches were changed.
        """
        check_owner(owner, self.fencing)
        check_epoch(epoch, self.epoch)

    def breaker(self, key: str) -> BreakerState:
        """Return a breaker's state."""
        body = self._cells.get(("breaker", key))
        return breaker.NEW if body is None else _decode_breaker(body)

    def rate(self, key: str) -> RateState:
        """Return a limiter's state."""
        body = self._cells.get(("rate", key))
        return ratelimit.FRESH if body is None else _decode_rate(body)


def check_owner(owner: RunOwner | None, fencing: int | None) -> None:
    """Refuse to act for a run that another process has.

    Raises:
        RunTakenOver: If it was taken over, or is not known here (`fencing` is `None`).
    """
    if owner is not None and fencing != owner.fencing:
        why = "is not known to this store" if fencing is None else "was taken over by another process"
        raise RunTakenOver(
            f"run {owner.key.request_id} {why}", next_step="look at it with `goldrun ops runs`"
        )


def check_epoch(epoch: int | None, current: int) -> None:
    """Refuse to let something start under other switches than its caller knows.

    Raises:
        SwitchesChanged: If they have changed since.
    """
    if epoch is not None and epoch != current:
        raise SwitchesChanged("switches were changed in the meantime", next_step="read them again")


def read_facts(
    db: sqlite3.Connection,
    owner: RunOwner | None,
    *,
    breakers: Collection[str] = (),
    rates: Collection[str] = (),
    scopes: Collection[str] = (),
) -> CallFacts:
    """Read the epoch, the owner of a run, and some cells and scopes."""
    run = () if owner is None else (owner.key.tenant, owner.key.environment, owner.key.request_id)
    sql = _sql(bool(run), len(breakers), len(rates), len(scopes))
    facts = CallFacts()
    for row in db.execute(sql, (*run, *breakers, *rates, *scopes)):
        facts.add(row)
    return facts


def save_cells(
    db: sqlite3.Connection, breakers: Mapping[str, BreakerState], rates: Mapping[str, RateState]
) -> None:
    """Store breakers and limiters in one statement."""
    values: list[str | bytes] = []
    for key, health in breakers.items():
        values += ["breaker", key, _encode(health)]
    for key, pace in rates.items():
        values += ["rate", key, _encode(pace)]
    db.execute(_cells_sql(len(values) // 3), values)


@cache
def _cells_sql(count: int) -> str:
    rows = ", ".join(["(?, ?, ?)"] * count)
    return f"INSERT INTO cells VALUES {rows} ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"  # noqa: S608


@cache
def _sql(with_run: bool, breakers: int, rates: int, scopes: int) -> str:
    blank = ", NULL" * (COLUMNS.count(",") - 1)
    parts = [f"SELECT 'epoch', '', value{blank} FROM epochs WHERE name = 'switches'"]  # noqa: S608
    if with_run:
        where = "tenant = ? AND environment = ? AND request_id = ?"
        parts.append(f"SELECT 'owner', '', fencing{blank} FROM runs WHERE {where}")  # noqa: S608
    for kind, count in (("breaker", breakers), ("rate", rates)):
        if count:
            marks = ", ".join("?" * count)
            parts.append(
                f"SELECT kind, key, body{blank} FROM cells WHERE kind = '{kind}' AND key IN ({marks})"  # noqa: S608
            )
    if scopes:
        marks = ", ".join("?" * scopes)
        parts.append(f"SELECT 'scope', {COLUMNS} FROM scopes WHERE key IN ({marks})")  # noqa: S608
    return " UNION ALL ".join(parts)
