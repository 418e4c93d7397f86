"""`goldrun migrate` rewrites old names and nothing else; `goldrun --version`."""

from __future__ import annotations

import json
import stat
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.golden.loader import load_task

HEAD = """# Kept as it is:   blanks, "quotes", order.\r
schema: golden/1
task: a/b      # steps: 3 is only a comment here
agent: recorded
"""
OLD = (
    HEAD
    + """policy:
  budget: {steps: 3, 'usd': 0.05, "tokens": 9}   # usd is dear
  on_denied: tell
expect:
  output: {contains: ["steps", "usd: 1", "größer 😀"]}
"""
)
NEW = OLD.replace("{steps:", "{max_steps:").replace("'usd'", "'max_usd'").replace('"tokens"', '"max_tokens"')


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_the_keys_of_limits_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    path = _write(tmp_path / "golden/a/b.golden.yaml", mark + OLD)
    with pytest.warns(FutureWarning, match="goldrun migrate"):
        before = load_task(path).policy

    assert run(["migrate", str(tmp_path)]) == 0

    assert path.read_bytes().decode("utf-8") == mark + NEW
    assert load_task(path).policy == before
    output = capsys.readouterr().out
    assert f"{path}:6: steps -> max_steps" in output
    assert "1 of 1 files rewritten" in output


def test_a_second_migration_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "b.golden.yaml", OLD)
    run(["migrate", str(path)])
    before = path.stat()

    assert run(["migrate", str(path)]) == 0

    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "0 of 1 files rewritten" in capsys.readouterr().out


def test_policy_files_of_a_folder_are_rewritten_and_other_files_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = _write(tmp_path / "policy.json", '{"schema": "policy/1",\n "budget": {"tool_calls": 4}}')
    other = _write(tmp_path / "compose.yaml", "budget: {steps: 3}\n")

    assert run(["migrate", str(tmp_path), "--json"]) == 0

    assert policy.read_text() == '{"schema": "policy/1",\n "budget": {"max_tool_calls": 4}}'
    assert other.read_text() == "budget: {steps: 3}\n"
    (row,) = json.loads(capsys.readouterr().out)["files"]
    assert row["renamed"] == [{"line": 2, "old": "tool_calls", "new": "max_tool_calls"}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema: policy/1\nbudget: {usd: 1, max_usd: 1}\n", "both usd and max_usd"),
        ("schema: other/1\nbudget: {usd: 1}\n", "its schema is 'other/1'"),
        ("schema: [\n", "not YAML"),
        ("schema: policy/1\nallow: &x {steps: 1}\nbudget: *x\n", "bad.yaml:3: budget is the alias *x"),
        ("schema: golden/1\nnote: &x {budget: {usd: 1}}\npolicy: *x\n", "bad.yaml:3: policy is the alias *x"),
        ("schema: policy/1\nbudget: {&x usd: 1}\nallow: [*x]\n", "an alias repeats them"),
        ("schema: policy/1\nbudget: [steps]\n", "budget is ['steps'], not an object"),
        ("schema: golden/1\npolicy: [budget]\n", "policy is ['budget'], not an object"),
    ],
)
def test_a_file_that_cannot_be_rewritten_is_an_error_and_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    bad = _write(tmp_path / "bad.yaml", text)
    good = _write(tmp_path / "good.golden.yaml", OLD)

    assert run(["migrate", str(bad), str(good)]) == 3

    assert says in capsys.readouterr().err
    assert bad.read_text() == text
    assert good.read_bytes().decode() == NEW


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes and links")
def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    private = _write(tmp_path / "private.golden.yaml", OLD)
    private.chmod(0o600)
    link = tmp_path / "link.golden.yaml"
    link.symlink_to(private)

    assert run(["migrate", str(link)]) == 0

    assert link.is_symlink()
    assert private.read_bytes().decode() == NEW
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_key_whose_anchor_has_its_name_is_renamed_alone(tmp_path: Path) -> None:
    policy = _write(tmp_path / "policy.yaml", "schema: policy/1\nbudget: {&usd usd: 1}\n")

    assert run(["migrate", str(policy)]) == 0

    assert policy.read_text() == "schema: policy/1\nbudget: {&usd max_usd: 1}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes and links")
def test_a_read_only_file_is_left_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = _write(tmp_path / "kept.golden.yaml", OLD)
    kept.chmod(0o444)

    assert run(["migrate", str(kept)]) == 3

    assert "the file is read-only" in capsys.readouterr().err
    assert kept.read_bytes().decode() == OLD


def test_a_path_without_files_of_ours_is_an_error(tmp_path: Path) -> None:
    assert run(["migrate", str(tmp_path / "absent")]) == 3
    assert run(["migrate", str(tmp_path)]) == 3
    assert run(["migrate"]) == 2


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0

    assert capsys.readouterr().out == f"goldrun {version('goldrun')}\n"


def test_files_in_hidden_folders_are_left_as_they_are(tmp_path: Path) -> None:
    seen = _write(tmp_path / "golden/a/b.golden.yaml", OLD)
    hidden = _write(tmp_path / ".venv/lib/b.golden.yaml", OLD)

    assert run(["migrate", str(tmp_path)]) == 0

    assert seen.read_bytes().decode() == NEW
    assert hidden.read_bytes().decode() == OLD
