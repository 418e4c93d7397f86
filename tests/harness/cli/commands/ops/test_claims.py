"""`goldrun ops claims`, `settle`, as an operator uses them."""

from __future__ import annotations

import pytest

from harness.cli.main import run
from runtime.state.control.blocking import BlockingControlStore
from tests.harness.cli.commands.ops.listing import listed


def test_a_write_in_doubt_is_listed_and_settled_once(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
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
