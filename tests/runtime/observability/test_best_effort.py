"""Best-effort sinks: one that blocks or raises stops nothing, and what it loses is counted and reported."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

from runtime.observability.best_effort import BestEffortQueue, flush_sinks, is_required, queue_of
from runtime.observability.event import Event
from runtime.observability.logs import LogSink
from runtime.observability.metrics import MetricsSink
from runtime.testing import calls, says
from runtime.tools.tool import tool
from tests.support.observing import Kept, run

EVENT = Event(kind="intent", request_id="r", run_id="r", tenant="a", environment="t", agent="x")


class Careless:
    """A best-effort sink that blocks until it is let go, and raises where it is told to."""

    required = False

    def __init__(self, *, raises: bool = False) -> None:
        self.taken: list[Event] = []
        self.go_on = threading.Event()
        self.raises = raises

    def take(self, event: Event) -> None:
        self.go_on.wait(20)
        if self.raises:
            raise OSError("the pipe is closed")
        self.taken.append(event)


def test_log_lines_and_metrics_are_best_effort_and_other_sinks_are_required() -> None:
    assert not is_required(LogSink())
    assert not is_required(MetricsSink())
    assert is_required(Kept())


@pytest.mark.parametrize("raises", [True, False])
def test_a_best_effort_sink_that_blocks_or_raises_stops_no_write(raises: bool) -> None:
    careless, kept = Careless(raises=raises), Kept()
    made: list[str] = []

    @tool(write=True)
    async def charge() -> str:
        made.append("charge")
        return "ok"

    result = run([calls(("charge", {})), says("done")], careless, kept, tools=(charge,))
    taken_meanwhile = len(careless.taken)
    careless.go_on.set()
    assert queue_of(careless).flush(20)

    assert (made, result.stop_reason, taken_meanwhile) == (["charge"], "finish", 0)
    assert careless.taken == ([] if raises else kept.events)
    assert queue_of(careless).lost == (len(kept.events) if raises else 0)


def test_what_does_not_fit_into_the_queue_is_lost_and_counted() -> None:
    sink = Careless()
    queue = BestEffortQueue(sink, most=3)
    for _ in range(10):
        queue.take(EVENT)
    sink.go_on.set()
    assert queue.flush(20)

    assert len(sink.taken) + queue.lost == 10
    assert len(sink.taken) in (3, 4)  # one may be in its hands


def test_losses_are_reported_through_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    sink = Careless(raises=True)
    sink.go_on.set()
    queue = BestEffortQueue(sink)

    with caplog.at_level(logging.WARNING, logger="goldrun"):
        queue.take(EVENT)
        assert queue.flush(20)

    (record,) = caplog.records
    assert "Careless lost 1 events" in record.getMessage()
    assert "the pipe is closed" in record.getMessage()


def test_a_queue_does_not_keep_its_sink_and_all_queues_can_be_flushed() -> None:
    sink = Careless()
    sink.go_on.set()
    queue_of(sink).take(EVENT)
    assert flush_sinks(20)
    gone = weakref.ref(sink)
    del sink
    gc.collect()

    assert gone() is None
