"""End well on a signal: give running runs a moment, seal what was recorded, then let the signal do its work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from harness.record.production import ProductionRecorder

_POLL_S = 0.02


def install_signal_handler(
    recorder: ProductionRecorder, *, signals: tuple[int, ...] = (signal.SIGTERM,), grace_s: float = 0.0
) -> Callable[[], None]:
    """Close a recorder when the process gets a signal to end; call it from the main thread.

    The closing happens in a thread, because the handler may have interrupted an append. What handled the signal
    before then gets it again, so a server's own shutdown continues.

    Args:
        recorder: What to close.
        signals: Which signals.
        grace_s: Seconds that running runs get to end before they are sealed as cut off.

    Returns:
        Puts the earlier handlers back.
    """
    before = {number: signal.getsignal(number) for number in signals}
    begun = threading.Event()

    def restore() -> None:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)

    def handle(number: int, frame: FrameType | None) -> None:
        if begun.is_set():
            return
        begun.set()
        restore()
        threading.Thread(target=_close, args=(recorder, number, grace_s), name="goldrun-shutdown").start()

    for number in signals:
        signal.signal(number, handle)
    return restore


def _close(recorder: ProductionRecorder, number: int, grace_s: float) -> None:
    give_up = time.monotonic() + grace_s
    while recorder.stats.active and time.monotonic() < give_up:
        time.sleep(_POLL_S)
    recorder.close()
    os.kill(os.getpid(), number)
