"""`trace_snapshot` as users run it: a project of their own, syrupy's options, and what they read when it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.snapshots.traces import TraceSnapshotExtension, still, trace_of
from runtime.core.trace import Trace, trace_json
from runtime.errors import UsageError
from tests.harness.diff.builder import Model, Tool, make_trace

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]
pytest_plugins = ["pytester"]

PROJECT = """
import os
import pytest
from runtime import Agent, Policy, run_agent, tool
from runtime.testing import ScriptedModel, calls, says

ASKED = os.environ.get("ASKED", "1")
TWICE = [calls(("look", {"order": 1}))] if os.environ.get("TWICE") else []

@tool
def look(order: int) -> str:
    "Look an order up."
    return "on its way"

def run(order):
    agent = Agent(name="shop", model="m1", tools=(look,), policy=Policy(allow=("look",)))
    script = ScriptedModel([*TWICE, calls(("look", {"order": order})), says("done")])
    return run_agent(agent, "Where is it?", model=script)

def test_one(trace_snapshot):
    assert run(int(ASKED)) == trace_snapshot

@pytest.mark.parametrize("order", [2, 3])
def test_each(order, trace_snapshot):
    assert run(order).trace == trace_snapshot
    assert run(order) == trace_snapshot(name="again")

def test_beside_syrupys_own(snapshot, trace_snapshot):
    from syrupy.extensions.json import JSONSnapshotExtension
    assert {"plain": 1} == snapshot
    assert {"json": 1} == snapshot(extension_class=JSONSnapshotExtension)
    assert run(4) == trace_snapshot
"""


def run_tests(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))}
    path = os.pathsep.join([str(ROOT), plain.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**plain, "PYTHONPATH": path, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def stored(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("__*s__/**/*.*"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A project whose snapshots are written, and what was said before and then."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "test_shop.py").write_text(PROJECT, encoding="utf-8")
    missing = run_tests(folder, "-k", "one")
    update = run_tests(folder, "--snapshot-update")
    return folder, missing.stdout, update.stdout


@pytest.fixture
def project(written: tuple[Path, str, str], pytester: pytest.Pytester) -> Path:
    """A copy of the project."""
    no_bytecode = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(written[0], pytester.path, dirs_exist_ok=True, ignore=no_bytecode))


@pytest.fixture
def run(project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the project's tests in this process: to start one for each run takes most of the time."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_ADDOPTS", "PYTEST_XDIST", "CI"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    others = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist")

    def run_pytest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done = pytester.runpytest_inprocess("-q", *others, *arguments)
        return subprocess.CompletedProcess(arguments, int(done.ret), done.stdout.str(), done.stderr.str())

    return run_pytest


def test_a_run_without_a_snapshot_is_told_and_written_when_asked_for(written: tuple[Path, str, str]) -> None:
    folder, missing, update = written

    assert "Snapshot 'test_one' does not exist!" in missing
    assert '+ look({"order": 1}) -> ok' in missing
    assert "8 snapshots generated" in update
    assert len(list((folder / "__traces__/test_shop").iterdir())) == 6


def test_runs_equal_their_snapshots_alone_and_with_two_workers(project: Path, run: Run) -> None:
    before = stored(project)

    alone = run()
    workers = run_tests(project, "-n", "2")
    updated = run_tests(project, "--snapshot-update", "-n", "2")

    assert "8 snapshots passed" in alone.stdout
    assert (alone.returncode, workers.returncode, updated.returncode) == (0, 0, 0)
    assert "unused" not in alone.stdout + workers.stdout + updated.stdout
    assert stored(project) == before


def test_a_changed_run_shows_the_aligned_diff_and_how_to_accept_it(project: Path, run: Run) -> None:
    failed = run("-k", "one", ASKED="7")
    workers = run_tests(project, "-n", "2", "-k", "one", ASKED="7")
    accepted = run("-k", "one", "--snapshot-update", ASKED="7")
    passed = run("-k", "one", ASKED="7")

    for done in (failed, workers):
        assert done.returncode == 1
        assert "~ call 1 -> 1 look: arguments.order: 1 -> 7" in done.stdout
        assert "accept it: pytest --snapshot-update" in done.stdout
        assert '"schema"' not in done.stdout
    assert "1 snapshot updated" in accepted.stdout
    assert passed.returncode == 0


def test_one_call_more_is_one_entry(run: Run) -> None:
    failed = run("-k", "one", TWICE="1")

    assert "r call 3 look: repeated" in failed.stdout or "+ call 1 look: added" in failed.stdout
    assert "tool calls 1 -> 2" in failed.stdout


def test_without_syrupy_the_fixture_says_so_and_leaves_other_snapshot_fixtures_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef snapshot():\n    return 'another'\n", encoding="utf-8"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_other(snapshot):\n    assert snapshot == 'another'\n\ndef test_ours(trace_snapshot):\n    pass\n",
        encoding="utf-8",
    )
    without = (
        "import sys, pytest, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'syrupy' else real(name, package)\n"
        "sys.exit(pytest.main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", without],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "-p no:syrupy -p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "trace_snapshot: syrupy is not installed" in done.stdout


def test_unused_snapshots_fail_and_are_removed_when_asked_for(project: Path, run: Run) -> None:
    file = project / "test_shop.py"
    file.write_text(PROJECT.replace("[2, 3]", "[2]"), encoding="utf-8")
    kept = stored(project).keys()

    unused = run()
    still_there = stored(project).keys()
    removed = run("--snapshot-update")

    assert unused.returncode == 1
    assert "2 snapshots unused" in unused.stdout
    assert still_there == kept
    assert "2 unused snapshots deleted" in removed.stdout
    assert len(kept) - len(stored(project)) == 2


def test_a_stored_snapshot_is_a_trace_that_diff_reads(project: Path) -> None:
    file = project / "__traces__/test_shop/test_one.trace.json"

    document = json.loads(file.read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "diff", str(file), str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert document["schema"] == "goldrun.trace/1"
    assert not {"started_at", "trace_hash", "prompt_hash", "price_table"} & document.keys()
    assert done.returncode == 0
    assert "verdict: same" in done.stdout


def test_what_is_no_run_is_refused_with_the_next_step() -> None:
    with pytest.raises(UsageError, match=r"not 'dict'\n.*use syrupy's `snapshot`"):
        trace_of({"a": 1})


def test_times_ids_and_money_are_no_part_of_a_snapshot() -> None:
    extension = TraceSnapshotExtension()
    trace = make_trace([Model(), Tool()])
    other = make_trace([Model(nanousd=9, seconds=9.0), Tool(seconds=7.0)], request_id="req_2", run_id="run_2")

    stored_text = extension.serialize(trace)

    assert extension.matches(serialized_data=extension.serialize(other), snapshot_data=stored_text)
    assert extension.serialize(other) == stored_text


def test_a_secret_of_a_live_run_reaches_no_snapshot() -> None:
    secret = "sk-proj-" + "Zk3vQ9xT7mB2nL5w" + "R8yH4cD6"
    trace = make_trace(
        [Model(), Tool(arguments={"q": f"use {secret}"}, result=secret)], output=f"it is {secret}"
    )

    text = TraceSnapshotExtension().serialize(trace)

    assert secret not in text
    assert text.count("<secret#1>") == 3


def test_a_snapshot_without_a_field_of_a_later_version_still_matches() -> None:
    extension = TraceSnapshotExtension()
    trace = make_trace([Model(), Tool()])

    text = json.dumps(trace_json(still(trace)), indent=1)  # all fields, in another form

    assert text != extension.serialize(trace)
    assert extension.matches(serialized_data=extension.serialize(trace), snapshot_data=text)


def test_fields_can_be_left_out_as_syrupy_does_it() -> None:
    from syrupy.filters import props

    extension = TraceSnapshotExtension()
    cheap, dear = make_trace([Model(tokens=100)]), make_trace([Model(tokens=900)])
    exclude = props("input_tokens", "output_tokens", "total_tokens")

    def text(trace: Trace) -> str:
        return str(extension.serialize(trace, exclude=exclude))

    assert not extension.matches(
        serialized_data=extension.serialize(dear), snapshot_data=extension.serialize(cheap)
    )
    assert extension.matches(serialized_data=text(dear), snapshot_data=text(cheap))


def test_a_damaged_snapshot_does_not_match_and_is_shown_as_text() -> None:
    extension = TraceSnapshotExtension()
    text = extension.serialize(make_trace([Model()]))

    assert not extension.matches(serialized_data=text, snapshot_data="{")
    assert "accept it" in list(extension.diff_lines(text, "{"))[-1]


def test_every_other_field_of_a_trace_counts() -> None:
    dropped = {
        "request_id",
        "run_id",
        "source",
        "deploy",
        "repeat",
        "started_at",
        "price_table",
        "trace_hash",
    }
    dropped |= {"prompt_hash", "tools_hash", "policy_hash"}
    trace = make_trace([Model(), Tool()])
    changed: dict[str, object] = {"labels": {"a": 1}, "repeat": 3}

    for field in msgspec.structs.fields(Trace):
        value = changed.get(
            field.name, "other" if isinstance(getattr(trace, field.name), str | None) else None
        )
        if value is None:
            continue
        other = msgspec.structs.replace(trace, **{field.name: value})
        assert (still(other) == still(trace)) is (field.name in dropped), field.name
