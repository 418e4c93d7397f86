"""The audit log: every change of a file is seen and named, and a cut tail by its checkpoints."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import JournalError, UsageError
from runtime.observability.audit import AuditCheckpoint, AuditLog, verify_audit
from runtime.observability.run_events import Event

KEY = b"k" * 32
LINES = 10
Edit = Callable[[list[bytes]], list[bytes]]


def event(number: int, tenant: str = "acme") -> Event:
    return Event(
        kind="intent",
        request_id=f"req_{number}",
        run_id="run_1",
        tenant=tenant,
        environment="test",
        agent="a",
        subject="tool",
        name=f"tool{number}",
    )


def written(path: Path, *, count: int = LINES, every: int = 4) -> list[AuditCheckpoint]:
    """Write a log of some lines and return the checkpoints that were anchored."""
    anchored: list[AuditCheckpoint] = []
    with AuditLog(path, key=KEY, anchor=anchored.append, every=every) as log:
        for number in range(count):
            log.take(event(number))
    return anchored


def rewritten(path: Path, edit: Edit) -> None:
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def test_untouched_log_is_intact_and_complete(tmp_path: Path) -> None:
    anchored = written(tmp_path / "audit.jsonl")

    verdict = verify_audit(tmp_path / "audit.jsonl", key=KEY, checkpoints=tuple(anchored))

    assert [c.count for c in anchored] == [4, 8, 10]
    assert (verdict.intact, verdict.complete, verdict.lines) == (True, True, LINES)
    assert (verdict.first_bad, verdict.problem) == (None, None)


def in_line(number: int, old: bytes, new: bytes) -> Edit:
    def edit(lines: list[bytes]) -> list[bytes]:
        assert old in lines[number]
        return [*lines[:number], lines[number].replace(old, new, 1), *lines[number + 1 :]]

    return edit


def reordered(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


DAMAGE: dict[str, tuple[Edit, int]] = {
    "edit": (in_line(3, b"tool3", b"tool9"), 3),
    "edit of a number": (in_line(6, b'"seq":6', b'"seq":7'), 6),
    "edit of the link": (in_line(5, b'"link":"', b'"link":"0'), 5),
    "field beside the hashed ones": (in_line(5, b'{"seq"', b'{"note":"forged","seq"'), 5),
    "event given twice": (in_line(2, b'{"seq"', b'{"event":{"kind":"forged"},"seq"'), 2),
    "blank": (in_line(4, b'"tool4"', b'"tool4" '), 4),
    "delete": (lambda lines: [*lines[:3], *lines[4:]], 3),
    "delete the first": (lambda lines: lines[1:], 0),
    "insert a copy": (lambda lines: [*lines[:5], lines[4], *lines[5:]], 5),
    "insert text": (lambda lines: [*lines[:5], b"hello\n", *lines[5:]], 5),
    "reorder": (reordered, 3),
}
TORN: dict[str, Edit] = {
    "torn tail": lambda lines: [*lines[:-1], lines[-1][:-20]],
    "lost line end": lambda lines: [*lines[:-1], lines[-1][:-1]],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_at_its_first_bad_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "audit.jsonl"
    written(path)
    edit, first_bad = DAMAGE[damage]

    rewritten(path, edit)
    verdict = verify_audit(path, key=KEY)

    assert not verdict.intact
    assert verdict.first_bad == first_bad
    assert f"line {first_bad}" in (verdict.problem or "")
    with pytest.raises(JournalError, match="broken"):
        AuditLog(path, key=KEY)


@pytest.mark.parametrize("left", [0, 7, 9])
def test_truncation_is_seen_by_the_checkpoint_alone(tmp_path: Path, left: int) -> None:
    path = tmp_path / "audit.jsonl"
    anchored = written(path)

    rewritten(path, lambda lines: lines[:left])
    alone = verify_audit(path, key=KEY)
    checked = verify_audit(path, key=KEY, checkpoints=tuple(anchored))

    assert (alone.intact, alone.complete) == (True, None)
    assert (checked.intact, checked.complete) == (True, False)
    assert checked.problem == f"a checkpoint saw 10 lines, there are {left}"


def test_deleted_log_is_neither_intact_nor_complete(tmp_path: Path) -> None:
    anchored = written(tmp_path / "audit.jsonl")

    (tmp_path / "audit.jsonl").unlink()
    verdict = verify_audit(tmp_path / "audit.jsonl", key=KEY, checkpoints=tuple(anchored))

    assert (verdict.intact, verdict.complete, verdict.problem) == (False, False, "the file is missing")


def test_log_begun_anew_after_a_deletion_is_seen_by_its_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    anchored = written(path)
    path.unlink()

    with AuditLog(path, key=KEY) as log:
        for number in range(50, 50 + LINES):
            log.take(event(number))
    verdict = verify_audit(path, key=KEY, checkpoints=tuple(anchored))

    assert (verdict.intact, verdict.complete) == (True, False)
    assert verdict.problem == "a checkpoint saw other lines"


def test_second_writer_is_refused_while_the_first_has_the_file(tmp_path: Path) -> None:
    with (
        AuditLog(tmp_path / "audit.jsonl", key=KEY),
        pytest.raises(UsageError, match="another writer"),
    ):
        AuditLog(tmp_path / "audit.jsonl", key=KEY)


def test_lines_of_two_writers_that_forked_the_chain_are_seen(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    written(ours, count=4)
    theirs.write_bytes(ours.read_bytes())
    for path, tenant in ((ours, "acme"), (theirs, "evil")):
        with AuditLog(path, key=KEY) as log:
            log.take(event(4, tenant))

    ours.write_bytes(ours.read_bytes() + theirs.read_bytes().splitlines(keepends=True)[-1])
    verdict = verify_audit(ours, key=KEY)

    assert (verdict.intact, verdict.first_bad) == (False, 5)


def test_forked_child_cannot_write_its_parents_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", key=KEY)
    log.take(event(0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
        pid = os.fork()
    if pid == 0:
        try:
            log.take(event(1))
        except JournalError:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    log.take(event(1))
    log.close()

    assert os.waitstatus_to_exitcode(status) == 7
    assert verify_audit(tmp_path / "audit.jsonl", key=KEY).lines == 2


def test_other_key_sees_nothing_but_forgery(tmp_path: Path) -> None:
    written(tmp_path / "audit.jsonl")

    verdict = verify_audit(tmp_path / "audit.jsonl", key=b"other" * 8)

    assert (verdict.intact, verdict.first_bad) == (False, 0)


def test_reopened_log_goes_on_with_its_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    before = written(path, count=3)
    after = written(path, count=5)

    verdict = verify_audit(path, key=KEY, checkpoints=(*before, *after))

    assert (verdict.intact, verdict.complete, verdict.lines) == (True, True, 8)


def test_half_a_line_is_taken_back_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, key=KEY)
    log.take(event(0))
    real = os.write

    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:20]))
    with pytest.raises(JournalError, match="not written whole"):
        log.take(event(1))
    monkeypatch.setattr(os, "write", real)
    log.take(event(2))
    log.close()

    verdict = verify_audit(path, key=KEY)
    assert (verdict.intact, verdict.lines) == (True, 2)


def test_closed_log_takes_nothing_and_closes_twice(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", key=KEY)
    log.close()
    log.close()

    with pytest.raises(JournalError, match="closed"):
        log.take(event(0))


def test_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="16"):
        AuditLog(tmp_path / "audit.jsonl", key=b"short")


@given(data=st.data())
def test_no_changed_byte_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    written(path, count=4)
    raw = path.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != raw[place]))

    path.write_bytes(raw[:place] + bytes([byte]) + raw[place + 1 :])
    verdict = verify_audit(path, key=KEY)

    assert not verdict.intact
    assert verdict.first_bad == raw.count(b"\n", 0, place)


def test_lines_hold_their_events_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, count=1)

    line = msgspec.json.decode(path.read_bytes())

    assert msgspec.convert(line["event"], type=Event) == event(0)


@pytest.mark.parametrize("damage", TORN)
def test_a_torn_last_line_is_seen_then_cut_and_noted_when_the_log_is_opened(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "audit.jsonl"
    anchored = written(path)
    rewritten(path, TORN[damage])
    torn = verify_audit(path, key=KEY)

    with AuditLog(path, key=KEY) as log:
        log.take(event(10))

    assert (torn.intact, torn.first_bad) == (False, 9)
    verdict = verify_audit(path, key=KEY, checkpoints=tuple(anchored))
    events = [msgspec.json.decode(line)["event"] for line in path.read_bytes().splitlines()]
    assert (verdict.intact, verdict.lines) == (True, 11)
    assert events[9]["kind"] == "log_mended"
    assert events[9]["dropped_bytes"] > 0
    assert verdict.complete is False


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("act", [renamed, replaced, shortened, Path.unlink], ids=lambda act: act.__name__)
def test_a_log_that_goes_nowhere_takes_nothing_more(tmp_path: Path, act: Callable[[Path], None]) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, key=KEY)
    log.take(event(0))
    log.take(event(1))

    act(path)

    for number in (2, 3):
        with pytest.raises(JournalError, match="under its writer"):
            log.take(event(number))
    assert log.checkpoint().count == 2
    log.close()


@pytest.mark.parametrize("max_bytes", [1, 900, 3000])
def test_one_chain_runs_through_all_parts_of_a_rotated_log(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "audit.jsonl"
    anchored: list[AuditCheckpoint] = []

    for start in range(0, 24, 8):
        with AuditLog(path, key=KEY, anchor=anchored.append, max_bytes=max_bytes) as log:
            for number in range(start, start + 8):
                log.take(event(number))

    verdict = verify_audit(path, key=KEY, checkpoints=tuple(anchored))
    assert len(list(tmp_path.iterdir())) > 2
    assert (verdict.intact, verdict.complete, verdict.lines, verdict.unanchored) == (True, True, 24, 0)


def test_a_missing_part_is_seen_unless_a_checkpoint_proves_where_the_rest_begins(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    anchored: list[AuditCheckpoint] = []
    with AuditLog(path, key=KEY, anchor=anchored.append, every=1000, max_bytes=900) as log:
        for number in range(12):
            log.take(event(number))
    part = tmp_path / "audit.jsonl.1"
    lines = part.read_bytes().count(b"\n")

    part.rename(tmp_path / "archived")

    assert verify_audit(path, key=KEY).intact is False
    proved = verify_audit(path, key=KEY, checkpoints=tuple(anchored))
    assert (proved.intact, proved.complete, proved.lines) == (True, True, 12)
    assert anchored[0].count == lines


def test_a_torn_line_that_is_all_of_a_rotated_log_s_file_is_mended_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, key=KEY, max_bytes=600) as log:
        for number in range(5):
            log.take(event(number))
    path.write_bytes(path.read_bytes().splitlines()[0][:40] if path.stat().st_size else b'{"seq":')
    before = sum(part.read_bytes().count(b"\n") for part in tmp_path.glob("audit.jsonl.*"))

    with AuditLog(path, key=KEY) as log:
        log.take(event(9))

    verdict = verify_audit(path, key=KEY)
    assert (verdict.intact, verdict.lines) == (True, before + 2)


def test_a_rotation_that_was_cut_off_between_its_two_steps_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, count=3)
    path.rename(tmp_path / "audit.jsonl.1")

    written(path, count=2)

    verdict = verify_audit(path, key=KEY)
    assert (verdict.intact, verdict.lines) == (True, 5)
