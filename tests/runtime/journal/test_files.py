import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.effects import (
    AnyOutcome,
    Begin,
    CallModel,
    CallTool,
    End,
    Outcome,
    SingleEffect,
    ToolResult,
)
from runtime.core.messages import Message, ModelReply, ModelRequest, TextPart, user_message
from runtime.core.run import Header
from runtime.errors import JournalError, UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.open_runs import RunRecords
from runtime.journal.recording import recording_of
from runtime.journal.records import Record


def pairs_of(texts: Sequence[str]) -> list[tuple[SingleEffect, AnyOutcome]]:
    history: tuple[Message, ...] = (user_message("go"),)
    pairs: list[tuple[SingleEffect, AnyOutcome]] = []
    for step, text in enumerate(texts):
        request = ModelRequest(model="m", messages=history)
        pairs.append(
            (CallModel(lane=f"{step}.model/1", request=request), Outcome(ModelReply(parts=(TextPart(text),))))
        )
        call = CallTool(
            lane=f"{step}.tool0/1",
            call_id=f"c{step}",
            name="note",
            arguments={"t": text},
            args_hash="h",
            write=True,
        )
        pairs.append((call, Outcome(ToolResult(content=text))))
        history = (*history, user_message(text))
    return pairs


def record_run(writer: JournalWriter, run: str, texts: Sequence[str], *, end: bool = True) -> list[Record]:
    builder = RecordBuilder(run=run)
    header = Header(request_id=f"req_{run}", run_id=run, tenant="t", environment="test", agent="a")
    made = [builder.intent(Begin(header=header))]
    for effect, outcome in pairs_of(texts):
        made += [builder.intent(effect), builder.outcome(effect, outcome)]
    records = [record for record in made if record is not None]
    for record in records:
        writer.append(record)
    if end:
        last = builder.outcome(End(stop_reason="finish"), Outcome(), root=writer.root(run))
        assert last is not None
        writer.append(last)
        records.append(last)
    return records


def journal(path: Path, **runs: Sequence[str]) -> Path:
    with JournalWriter(path) as writer:
        for run, texts in runs.items():
            record_run(writer, run, texts)
    return path


@given(runs=st.lists(st.lists(st.text(max_size=20), max_size=3), min_size=1, max_size=4))
def test_a_journal_gives_back_the_records_of_each_run(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("j") / "runs.jsonl"
    with JournalWriter(path) as writer:
        written = {f"r{i}": record_run(writer, f"r{i}", texts) for i, texts in enumerate(runs)}

    read = {run.run: list(run.records) for run in read_journal(path)}

    assert read == written


def test_interleaved_runs_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with JournalWriter(path) as writer:
        threads = [threading.Thread(target=record_run, args=(writer, f"r{i}", ["x"] * 20)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = list(read_journal(path))

    assert sorted(run.run for run in found) == ["r0", "r1", "r2", "r3"]
    assert all(run.ended and recording_of(run.records).stop_reason == "finish" for run in found)


def test_a_second_writer_on_one_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"

    with JournalWriter(path), pytest.raises(UsageError, match="another writer"):
        JournalWriter(path)

    JournalWriter(path).close()


def test_a_writer_goes_on_where_an_earlier_one_ended(tmp_path: Path) -> None:
    path = journal(tmp_path / "runs.jsonl", r0=["a"])

    journal(path, r1=["b"])

    assert [run.run for run in read_journal(path)] == ["r0", "r1"]


def test_a_run_without_end_is_given_as_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with JournalWriter(path) as writer:
        record_run(writer, "r0", ["a"], end=False)

    (run,) = read_journal(path)

    assert not run.ended
    assert recording_of(run.records).stop_reason == "crashed"


def test_one_torn_tail_is_dropped_and_reported(tmp_path: Path) -> None:
    path = journal(tmp_path / "runs.jsonl", r0=["a"], r1=["b"])
    data = path.read_bytes()
    path.write_bytes(data[:-10])

    reader = read_journal(path)
    runs = list(reader)

    assert [(run.run, run.ended, run.torn) for run in runs] == [("r0", True, False), ("r1", False, True)]
    assert reader.torn_bytes == len(data[:-10]) - data.rindex(b"\n", 0, -1) - 1


def test_a_writer_refuses_to_append_behind_a_torn_tail(tmp_path: Path) -> None:
    path = journal(tmp_path / "runs.jsonl", r0=["a"])
    path.write_bytes(path.read_bytes()[:-3])

    with pytest.raises(JournalError, match="torn record"):
        JournalWriter(path)


def test_an_empty_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.touch()

    with pytest.raises(JournalError, match="empty"):
        list(read_journal(path))


def test_a_missing_line_is_an_error_naming_file_and_record(tmp_path: Path) -> None:
    path = journal(tmp_path / "runs.jsonl", r0=["a", "b"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))

    with pytest.raises(JournalError, match=r"runs\.jsonl, record 4: record 3 of run 'r0' is missing"):
        list(read_journal(path))


def test_swapped_records_of_equal_number_are_found_by_the_root(tmp_path: Path) -> None:
    one = journal(tmp_path / "one.jsonl", r0=["a", "b"]).read_bytes().splitlines(keepends=True)
    two = journal(tmp_path / "two.jsonl", r0=["a", "c"]).read_bytes().splitlines(keepends=True)
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_bytes(b"".join([*one[:6], two[6], *one[7:]]))

    with pytest.raises(JournalError, match="not those it ended with"):
        list(read_journal(mixed))


def read_quietly(path: Path) -> list[RunRecords] | None:
    try:
        return list(read_journal(path))
    except JournalError:
        return None


@given(data=st.data())
def test_a_flipped_byte_is_refused_or_drops_the_tail_it_tore(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = journal(tmp_path_factory.mktemp("j") / "runs.jsonl", r0=["one", "two"], r1=["three"])
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])

    found = read_quietly(path)

    assert found is None or found[-1].torn


@given(data=st.data())
def test_a_truncated_journal_gives_only_whole_records_of_the_original(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = journal(tmp_path_factory.mktemp("j") / "runs.jsonl", r0=["one", "two"], r1=["three"])
    whole = path.read_bytes()
    original = {run.run: run.records for run in read_journal(path)}
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    found = read_quietly(path) or []

    assert all(run.records == original[run.run][: len(run.records)] for run in found)


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    program = (
        "import os, signal, sys\n"
        "from runtime.core.effects import Begin\n"
        "from runtime.core.run import Header\n"
        "from runtime.journal.builder import RecordBuilder\n"
        "from runtime.journal.files import JournalWriter\n"
        "writer = JournalWriter(sys.argv[1])\n"
        "for i in range(50):\n"
        "    header = Header(request_id=f'q{i}', run_id=f'r{i}', tenant='t', environment='e', agent='a')\n"
        "    writer.append(RecordBuilder(run=f'r{i}').intent(Begin(header=header)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    done = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)

    assert done.returncode == -9
    assert [run.run for run in read_journal(path)] == [f"r{i}" for i in range(50)]


def test_power_durability_writes_the_same_bytes(tmp_path: Path) -> None:
    plain = journal(tmp_path / "process.jsonl", r0=["a", "b"])
    synced = tmp_path / "power.jsonl"

    with JournalWriter(synced, durability="power") as writer:
        record_run(writer, "r0", ["a", "b"])

    assert synced.read_bytes() == plain.read_bytes()


def test_a_closed_writer_takes_no_record(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "runs.jsonl")
    writer.close()
    writer.close()

    with pytest.raises(JournalError, match="closed"):
        record_run(writer, "r0", [])
