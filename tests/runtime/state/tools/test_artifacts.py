"""Artifacts: whole or not there, equal to their digest, and below the folder of their scope."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError, UsageError
from runtime.ports.state import Artifacts, Scope
from runtime.state.tools.artifacts import FolderArtifacts, MemoryArtifacts

ACME = Scope(tenant="acme", environment="test")


def stored(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    if request.param == "memory":
        return MemoryArtifacts(ACME, max_bytes=1_000)
    return FolderArtifacts(tmp_path, ACME, max_bytes=1_000)


def test_bytes_come_back_under_their_sha256(store: Artifacts) -> None:
    digest = store.put(b"hello")

    assert digest == hashlib.sha256(b"hello").hexdigest()
    assert store.get(digest) == b"hello"
    assert store.put(b"hello") == digest
    assert store.get("0" * 64) is None


def test_deleted_artifact_is_gone_and_deleting_it_twice_is_harmless(store: Artifacts) -> None:
    digest = store.put(b"hello")

    assert [store.delete(digest), store.delete(digest), store.get(digest)] == [True, False, None]


def test_artifact_above_the_limit_is_refused(store: Artifacts) -> None:
    with pytest.raises(UsageError, match="1001 bytes"):
        store.put(b"x" * 1_001)


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", "0" * 63, "A" * 64, "0" * 64 + "\n", "0" * 63 + "/"]
)
def test_what_is_no_digest_never_becomes_a_path(store: Artifacts, digest: str) -> None:
    with pytest.raises(UsageError, match="no digest"):
        store.get(digest)
    with pytest.raises(UsageError, match="no digest"):
        store.delete(digest)


@given(parts=st.lists(st.binary(max_size=200), max_size=6))
def test_folder_agrees_with_memory(parts: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, memory = FolderArtifacts(tmp_path_factory.mktemp("a"), ACME), MemoryArtifacts(ACME)

    ours = [folder.put(part) for part in parts]

    assert ours == [memory.put(part) for part in parts]
    assert [folder.get(d) for d in ours] == [memory.get(d) for d in ours] == parts


def test_damaged_file_is_an_error_and_put_mends_it(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path, ACME)
    digest = store.put(b"hello")
    (file,) = stored(tmp_path)

    file.write_bytes(b"hell0")
    with pytest.raises(DataError, match="does not have the bytes of its name"):
        store.get(digest)
    store.put(b"hello")

    assert store.get(digest) == b"hello"


def test_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderArtifacts(tmp_path, ACME)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        store.put(b"hello")

    assert stored(tmp_path) == []
    assert store.get(hashlib.sha256(b"hello").hexdigest()) is None


def test_many_writers_of_one_artifact_leave_one_whole_file(tmp_path: Path) -> None:
    data = b"x" * 100_000

    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: FolderArtifacts(tmp_path, ACME).put(data), range(24)))

    assert len(digests) == 1
    assert [p.name for p in stored(tmp_path)] == list(digests)
    assert FolderArtifacts(tmp_path, ACME).get(digests.pop()) == data


def test_names_of_tenants_are_in_no_path(tmp_path: Path) -> None:
    FolderArtifacts(tmp_path, Scope(tenant="../evil", environment="..")).put(b"hello")

    (file,) = stored(tmp_path)
    assert len(file.relative_to(tmp_path).parts) == 3
    assert "evil" not in str(file.relative_to(tmp_path))
