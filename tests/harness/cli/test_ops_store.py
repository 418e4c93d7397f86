"""`goldrun ops` on what a service left in its control store: switches, claims, caps, breakers, acts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import run
from harness.cli.ops_store import now
from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.scopes import day_scope
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.sqlite_store import SqliteControlStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteControlStore]:
    monkeypatch.setenv("GOLDRUN_CONTROL_STORE", str(tmp_path / "control.db"))
    made = SqliteControlStore(tmp_path / "control.db")
    yield made
    made.close()


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["ops", *words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (rows,) = (value for name, value in document.items() if name != "schema")
    return list(rows)


@pytest.mark.parametrize("words", [["kill", "all"], ["disable", "tool", "pay"]])
def test_a_switch_is_not_pulled_on_a_store_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    path = tmp_path / "mistyped.db"

    code = run(["ops", *words, "--store", str(path)])

    told = capsys.readouterr()
    assert (code, told.out) == (3, "")
    assert str(path) in told.err
    assert not path.exists()
    assert run(["ops", *words, "--store", str(path), "--create"]) == 0


def test_enable_of_what_is_not_pulled_says_so_and_lists_what_is(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "disable", "tool", "pay", "--tenant", "acme", "--reason", "incident 12"])
    run(["ops", "disable", "tool", "look"])
    capsys.readouterr()

    missed = run(["ops", "enable", "tool", "pay"])
    told = capsys.readouterr().out
    hit = run(["ops", "enable", "tool", "pay", "--tenant", "acme"])

    assert (missed, hit) == (1, 0)
    assert "nothing changed: no switch is pulled on tool pay" in told
    assert "still pulled: tool pay only for tenant acme" in told
    assert "incident 12" in told
    assert "look" not in told
    assert [s.ref.name for s in store.read_switches().switches] == ["look"]


def test_enable_names_the_wider_switch_that_still_stops_it(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "kill", "all"])
    run(["ops", "kill", "all", "--environment", "prod"])
    capsys.readouterr()

    assert run(["ops", "enable", "all", "--environment", "prod"]) == 0
    assert "still pulled: all, by" in capsys.readouterr().out


def test_a_write_in_doubt_is_listed_and_settled_once(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("idem_1", "idem_2"):
        store.claim(key, args_hash="a", owner="run_1#1/2.tool0/1", now=1.0, lease_s=1.0)

    waiting = listed(capsys, "claims")
    codes = [
        run(["ops", "settle", "idem_1", "--happened", "--result", "receipt 7", "--reason", "looked it up"]),
        run(["ops", "settle", "idem_2", "--did-not-happen"]),
        run(["ops", "settle", "idem_1", "--did-not-happen"]),
    ]

    first, second = (store.lookup_claim(key, now=2.0) for key in ("idem_1", "idem_2"))
    assert [(c["key"], c["owner"]) for c in waiting] == [
        ("idem_1", "run_1#1/2.tool0/1"),
        ("idem_2", "run_1#1/2.tool0/1"),
    ]
    assert codes == [0, 0, 1]
    assert first is not None
    assert second is not None
    assert (first.state, first.result and first.result.content) == ("reconciled", "receipt 7")
    assert second.state == "failed"
    assert listed(capsys, "claims") == []
    assert [(a["action"], a["subject"], a["reason"]) for a in listed(capsys, "acts")] == [
        ("settle", "idem_2 did not happen", ""),
        ("settle", "idem_1 happened", "looked it up"),
    ]


def test_a_tenants_day_gets_another_cap_and_gets_it_back(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    key = day_scope("acme", "prod", now())
    scopes = (SpendScope(key, Caps(nanos=2_000_000_000, tokens=900)),)
    store.reserve_spend("r", scopes, Amount(1_000_000_000), now=now(), ttl_s=60.0)

    raised = run(["ops", "caps", "acme", "--usd-day", "5", "--reason", "sale"])
    more = run(["ops", "caps", "acme", "--tool-calls-day", "7"])
    (row,) = listed(capsys, "budget", "acme")
    cleared = run(["ops", "caps", "acme", "--clear"])
    (after,) = listed(capsys, "budget", "acme")

    assert (raised, more, cleared) == (0, 0, 0)
    assert (float(row["cap_usd"]), row["cap_tokens"], row["cap_tool_calls"]) == (5.0, 900, 7)
    assert "7 tool calls" in row["set_by_operator"]
    assert (float(after["cap_usd"]), after["cap_tool_calls"], after["set_by_operator"]) == (2.0, None, None)
    assert [a["action"] for a in listed(capsys, "acts")] == ["caps"] * 3


def test_an_open_breaker_is_listed_and_closed(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = BreakerRule(min_calls=1)
    for key in ("acme/prod/tool/fetch", "globex/prod/tool/fetch", "acme/prod/model/fetch-1"):
        store.report_breaker(key, rule, now=now(), generation=0, sample="failed", token="t")

    opened = listed(capsys, "breakers", "--open")
    codes = [
        run(["ops", "close-breaker", "fetch", "--tenant", "acme", "--reason", "mended"]),
        run(["ops", "close-breaker", "acme/prod/tool/fetch"]),
    ]

    assert [b["phase"] for b in opened] == ["open"] * 3
    assert codes == [0, 1]
    assert {b.key: b.phase for b in store.list_breakers()} == {
        "acme/prod/model/fetch-1": "open",
        "acme/prod/tool/fetch": "closed",
        "globex/prod/tool/fetch": "open",
    }
    assert [a["subject"] for a in listed(capsys, "acts")] == ["acme/prod/tool/fetch"]


def test_each_act_is_kept_with_who_and_why(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "kill", "tenant", "acme", "--reason", "incident 12"])
    run(["ops", "enable", "tenant", "acme", "--reason", "over"])
    run(["ops", "enable", "tenant", "acme"])

    acts = listed(capsys, "acts")

    assert [(a["action"], a["subject"], a["reason"]) for a in acts] == [
        ("enable", "tenant acme", "over"),
        ("kill", "tenant acme", "incident 12"),
    ]
    assert all(a["by"] for a in acts)


def test_a_run_that_is_no_longer_heard_of_is_shown_as_crashed(
    store: SqliteControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, alive_s in (("req_dead", -1.0), ("req_live", 60.0)):
        key = RunKey(tenant="acme", environment="prod", request_id=name)
        store.open_run(Run(key=key, run_id=name, agent="a", started_at=1.0, alive_until=now() + alive_s))

    shown = {row["request_id"]: row["stop_reason"] for row in listed(capsys, "runs")}

    assert shown == {"req_dead": "crashed", "req_live": "running"}
    assert [row["request_id"] for row in listed(capsys, "runs", "--open")] == ["req_live"]
