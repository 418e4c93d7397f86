"""Log lines: names of the run on each, warnings for what failed, stderr and nothing else by default."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
import structlog

from runtime.core.run import Totals
from runtime.observability.logs import LogSink, line_of, run_names
from runtime.observability.run_events import Event


@pytest.fixture(autouse=True)
def _plain_structlog() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def event(**fields: object) -> Event:
    known: dict[str, object] = {
        "kind": "outcome",
        "request_id": "req_1",
        "run_id": "run_1",
        "tenant": "acme",
        "environment": "test",
        "agent": "shop",
    }
    return Event(**{**known, **fields})  # type: ignore[arg-type]  # fields of several types


def test_line_has_request_id_and_tenant_and_leaves_out_what_is_unknown() -> None:
    assert line_of(event(subject="tool", name="look", status="ok", duration_s=0.5)) == {
        "runtime.request_id": "req_1",
        "runtime.tenant": "acme",
        "runtime.environment": "test",
        "runtime.run_id": "run_1",
        "gen_ai.agent.name": "shop",
        "gen_ai.tool.name": "look",
        "runtime.status": "ok",
        "runtime.duration_s": 0.5,
    }


def test_default_line_is_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    LogSink().take(event(subject="model", name="m1", status="ok", cost_nanousd=1_500))

    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert (line["event"], line["level"], line["runtime.cost_usd"]) == ("outcome", "info", "0.000001500")
    assert line["timestamp"].endswith("Z")


def test_text_that_a_model_chose_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    LogSink().take(
        event(kind="refused", subject="tool", name='x\n{"event": "forged"}\x1b[2J', status="unknown_tool")
    )

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"status": "ok"}, "info"),
        ({"status": "cached"}, "info"),
        ({"kind": "run_ended"}, "info"),
        ({"status": "error"}, "warning"),
        ({"status": "in_doubt"}, "warning"),
        ({"kind": "refused", "status": "denied"}, "warning"),
        ({"kind": "approval", "status": "timeout"}, "warning"),
        ({"kind": "not_admitted", "status": "rate"}, "warning"),
        ({"kind": "approval", "status": "granted"}, "info"),
    ],
)
def test_level_follows_what_became_of_the_call(
    fields: dict[str, object], level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LogSink().take(event(**fields))

    assert json.loads(capsys.readouterr().err)["level"] == level


def test_logger_that_the_program_configured_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[dict[str, object]] = []

    def keep(logger: object, method: str, fields: structlog.typing.EventDict) -> str:
        found.append(dict(fields))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    LogSink().take(event(status="ok"))

    assert [(line["event"], line["runtime.tenant"]) for line in found] == [("outcome", "acme")]
    assert capsys.readouterr() == ("", "")


def test_lines_of_tools_carry_the_names_of_their_run_and_of_no_other() -> None:
    found: list[dict[str, object]] = []

    def keep(logger: object, method: str, fields: structlog.typing.EventDict) -> str:
        found.append(dict(fields))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])

    async def work(tenant: str) -> None:
        with run_names(request_id=f"req_{tenant}", tenant=tenant, environment="test"):
            for _ in range(3):
                await asyncio.sleep(0)
                structlog.get_logger().info("from a tool", mine=tenant)

    async def main() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    structlog.get_logger().info("outside", mine=None)

    assert len(found) == 7
    assert [line.get("runtime.tenant") == line["mine"] for line in found] == [True] * 7
    assert "runtime.request_id" not in found[-1]


def test_the_line_of_a_runs_end_says_what_the_run_took() -> None:
    totals = Totals(steps=4, tool_calls=7, duration_s=2.5, cost_nanousd=1_000_000)

    line = line_of(event(kind="run_ended", stop_reason="finish", totals=totals, cost_nanousd=1_000_000))

    assert (line["runtime.steps"], line["runtime.tool_calls"]) == (4, 7)
    assert (line["runtime.stop_reason"], line["runtime.cost_usd"]) == ("finish", "0.001000000")
