"""The cap of results: what the model sees is bounded, and nothing of the rest is lost."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope
from runtime.state.tools.artifacts import MemoryArtifacts
from runtime.tools.results import cap_result


def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts(Scope(tenant="acme", environment="test"))


def never(data: bytes) -> str:
    raise AssertionError("nothing was to be kept")


@given(unit=st.text(min_size=1, max_size=8), times=st.integers(0, 200), limit=st.integers(256, 600))
def test_model_sees_at_most_the_limit_and_the_artifact_is_the_whole(
    unit: str, times: int, limit: int
) -> None:
    text, store = unit * times, artifacts()

    capped = cap_result(text, limit, store.put)

    raw = text.encode("utf-8", "replace")
    assert len(capped.content.encode()) <= limit
    assert capped.size_bytes == len(raw)
    assert (capped.artifact is None) == (len(raw) <= limit)
    if capped.artifact is None:
        assert capped.content.encode() == raw
    else:
        head, _, note = capped.content.rpartition("\n[cut: ")
        assert store.get(capped.artifact) == raw
        assert raw.startswith(head.encode())
        assert f"{len(raw)} bytes" in note
        assert f"sha256:{capped.artifact}" in note


def test_head_ends_between_characters() -> None:
    capped = cap_result("ab" + "😀" * 300, 300, artifacts().put)

    head = capped.content.rpartition("\n[cut: ")[0]
    assert head.strip("😀") == "ab"
    assert len(head) > 30


def test_text_of_exactly_the_limit_is_shown_whole() -> None:
    assert cap_result("x" * 256, 256, never).content == "x" * 256
    assert cap_result("é" * 128, 256, never).content == "é" * 128


def test_mode_40_fifty_megabytes_become_an_artifact_and_a_head() -> None:
    text = "x" * 50_000_000
    kept: list[str] = []

    def put(data: bytes) -> str:
        kept.append(hashlib.sha256(data).hexdigest())
        return kept[0]

    tracemalloc.start()
    capped = cap_result(text, 16_384, put)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(capped.content) == 16_384
    assert capped.artifact == kept[0] == hashlib.sha256(text.encode()).hexdigest()
    assert held < 100_000
    assert most < 110_000_000


def test_result_whose_rest_cannot_be_kept_is_not_passed_off_as_one() -> None:
    def full(data: bytes) -> str:
        raise DataError("the disk is full")

    with pytest.raises(DataError):
        cap_result("x" * 1_000, 256, full)


def test_limit_that_leaves_no_room_for_the_note_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 256"):
        cap_result("x", 255, never)
