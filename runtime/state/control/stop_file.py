"""The stop file beside a control store: it stops all workers, also where the store itself cannot be reached.

Workers look for `NAME.stop` each time they read the switches, before they touch the store. It acts as a kill switch on
everything. The file holds who wrote it and why; one that cannot be read stops all the same.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from runtime.control.switches import Board, Switch, SwitchRef

STOPPED_EPOCH = -1
"""Epoch of the board while the file is there; no board of a store has it."""
_GLOBAL = SwitchRef(scope="global")


def stop_path(store: Path) -> Path:
    """Return where the stop file of a store is."""
    return store.with_name(f"{store.name}.stop")


def stopped_board(store: Path) -> Board | None:
    """Return the board of a store with a stop file; `None` if there is none."""
    switch = read_stop(store)
    return None if switch is None else Board(epoch=STOPPED_EPOCH, switches=(switch,))


def read_stop(store: Path) -> Switch | None:
    """Return who stopped the workers and why; `None` if nobody did."""
    try:
        text = stop_path(store).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        text = b""
    with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
        return msgspec.json.decode(text, type=Switch)
    return Switch(ref=_GLOBAL, by="unknown", reason="the stop file cannot be read", at=0.0)


def write_stop(store: Path, *, by: str, reason: str, at: float) -> None:
    """Write the stop file, through to the disk.

    Raises:
        OSError: If it cannot be written.
    """
    path = stop_path(store)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(Switch(ref=_GLOBAL, by=by, reason=reason, at=at)))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def remove_stop(store: Path) -> bool:
    """Remove the stop file; false if there is none.

    Raises:
        OSError: If it cannot be removed.
    """
    try:
        stop_path(store).unlink()
    except FileNotFoundError:
        return False
    return True
