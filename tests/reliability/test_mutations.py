"""Mutated recordings give the documented error, or say exactly what the original said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cassette.store import iter_recordings
from harness.errors import CassetteError
from runtime.errors import UsageError
from runtime.journal.recording import Recording

FIXTURES = Path(__file__).parents[1] / "fixtures" / "cassettes" / "v1"
GOLDEN = ("every-kind.cassette.json", "imported.cassette.json")


def meaning(recording: Recording) -> Any:
    """Return everything a recording says."""
    records = [r for i in recording.interactions for r in (i.intent, i.record) if r is not None]
    return [msgspec.json.encode(recording.header), *map(msgspec.json.encode, records), recording.end]


def read(path: Path) -> list[Any] | None:
    """Return what a file says; `None` if it is refused as documented."""
    try:
        return [meaning(r) for r in iter_recordings(path)]
    except (CassetteError, UsageError):
        return None


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return bytes that were truncated, flipped, inserted into, deleted from, or spliced with others."""
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 2, 8, 100, 1000)))
    match chance.choice(("truncate", "flip", "insert", "delete", "splice", "repeat")):
        case "truncate":
            return data[:start]
        case "flip":
            return data[:start] + bytes([data[start] ^ (1 << chance.randrange(8))]) + data[start + 1 :]
        case "insert":
            return data[:start] + chance.randbytes(end - start) + data[start:]
        case "delete":
            return data[:start] + data[end:]
        case "splice":
            place = chance.randrange(len(other))
            return data[:start] + other[place : place + end - start] + data[end:]
        case _:
            return data[:end] + data[start:end] + data[end:]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two golden documents, a segment of version 0, one of version 1 with a dictionary, and a journal."""
    from harness.cassette.segment import SegmentWriter
    from tests.harness.cassette.test_segment_life import run

    path = tmp_path_factory.mktemp("originals") / "new.seg"
    with SegmentWriter(path) as writer:
        for name in ("1", "2", "3"):
            writer.add(run(name, f"the text of {name}"))
    known = {name: (FIXTURES / name).read_bytes() for name in (*GOLDEN, "runs.seg", "runs.jsonl")}
    return {**known, "new.seg": path.read_bytes()}


@pytest.mark.parametrize("name", [*GOLDEN, "runs.seg", "new.seg"])
def test_a_mutated_cassette_is_refused_or_says_the_same(
    tmp_path: Path, originals: dict[str, bytes], full: bool, name: str, say: Callable[[str], None]
) -> None:
    chance = random.Random(name)
    others = list(originals.values())
    original = tmp_path / f"original-{name}"
    original.write_bytes(originals[name])
    expected = read(original)
    assert expected is not None
    refused = same = 0

    for number in range(5_000 if full else 100):
        data = mutated(originals[name], chance.choice(others), chance)
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(data)
        found = read(path)
        path.unlink()
        if found is None:
            refused += 1
        else:
            assert found == expected, f"mutation {number} was accepted and changed what the file says"
            same += 1

    say(f"{name}: {refused} refused, {same} said the same")
    assert refused > same


def test_a_mutated_journal_gives_only_records_that_were_written(
    tmp_path: Path, originals: dict[str, bytes], full: bool
) -> None:
    chance = random.Random("journal")
    original = tmp_path / "original.jsonl"
    original.write_bytes(originals["runs.jsonl"])
    (expected,) = read(original) or [None]
    known = set(expected[:-1]) if expected else set()

    for number in range(5_000 if full else 100):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(mutated(originals["runs.jsonl"], originals["runs.jsonl"], chance))
        for said in read(path) or []:
            assert set(said[:-1]) <= known
        path.unlink()
