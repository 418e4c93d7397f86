"""`goldrun verify` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cassette.segment import SegmentWriter
from tests.harness.cli.commands.shop_runs import cut_journal, run, shop_script
from tests.support.agents import Shop, shop_agent
from tests.support.recordings import record_to_sink

pytestmark = pytest.mark.usefixtures("working_folder")


def test_verify_says_intact_and_complete_separately(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = cut_journal(tmp_path / "runs.jsonl", torn=True)
    damaged = tmp_path / "damaged.seg"
    data = bytearray(segment.read_bytes())
    data[30] ^= 1
    damaged.write_bytes(data)

    codes = [run("verify", str(p), "--json") for p in (segment, journal, damaged)]

    lines = capsys.readouterr().out.splitlines()
    files = [json.loads(line)["files"][0] for line in lines]
    assert codes == [0, 1, 3]
    assert [(f["kind"], f["intact"], f["complete"]) for f in files] == [
        ("segment", True, True),
        ("journal", True, False),
        ("segment", False, False),
    ]
    assert files[1]["cut_off"] == ["req_cut"]
    assert files[1]["torn_bytes"] == 18


def test_verify_finds_an_index_that_tells_lies(tmp_path: Path) -> None:
    import msgspec

    from harness.cassette.footer import Footer, encode_tail
    from harness.cassette.segment import read_segment

    result, sink = record_to_sink(shop_agent(Shop()), shop_script())
    path = tmp_path / "a.seg"
    with SegmentWriter(path) as writer:
        writer.add(sink.records)
    footer = read_segment(path).footer
    lying: Footer = msgspec.structs.replace(
        footer, runs=(msgspec.structs.replace(footer.runs[0], stop_reason="operator_kill"),)
    )
    path.write_bytes(path.read_bytes().removesuffix(encode_tail(footer)) + encode_tail(lying))

    assert result.stop_reason == "finish"
    assert run("verify", str(path)) == 3
