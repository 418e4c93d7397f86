import json
from pathlib import Path

import pytest

from harness.cassette.store import iter_recordings
from harness.importers.formats import format_names
from harness.importers.registry import import_paths
from harness.sessions.replay import replay_run
from runtime.errors import ExitCode, UsageError

LINES = """
from harness.importers.runlog import ForeignRunLog, Said
from runtime.core.messages import Message, TextPart

def read(document, file):
    if not isinstance(document, dict) or "q" not in document:
        return None
    told = [("user", document["q"]), ("assistant", document["a"])]
    messages = tuple(Said(message=Message(role=r, parts=(TextPart(t),))) for r, t in told)
    return [ForeignRunLog(source=file, content=document, messages=messages, model="m", tenant="t", agent="pairs")]
"""


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, *, package: str = "pairs") -> None:
    """Lay a package with an importer on the path, as an installer does."""
    site = tmp_path / f"site-{package}"
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[goldrun.importers]\npairs = {package}_importer:read\n")
    (site / f"{package}_importer.py").write_text(code)
    monkeypatch.syspath_prepend(site)


def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"q": "Two and two?", "a": "Four."}))
    return path


def test_an_installed_package_adds_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, LINES, package="good")

    summary = import_paths("pairs", [pairs_file(tmp_path)], tmp_path / "out")

    assert format_names() == ["agentdojo", "openai-messages", "pairs", "tau-bench"]
    assert (summary.runs, summary.replayable) == (1, 1)
    [recording] = iter_recordings(tmp_path / "out")
    assert recording.trace().output == "Four."
    assert replay_run(recording).verdict == "same"


def test_a_plug_in_that_cannot_be_loaded_is_one_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "import no_such_thing_at_all", package="broken")

    with pytest.raises(UsageError, match="cannot be loaded: ModuleNotFoundError") as raised:
        import_paths("pairs", [pairs_file(tmp_path)], tmp_path / "out")

    assert raised.value.where == "broken, entry point broken_importer:read"


def test_a_broken_plug_in_does_not_disturb_other_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "import no_such_thing_at_all", package="hurt")
    path = tmp_path / "chat.json"
    path.write_text(json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]))

    assert import_paths("openai-messages", [path], tmp_path / "out").runs == 1


def test_a_plug_in_that_raises_makes_the_file_damaged_and_not_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "def read(document, file): return document['x']", package="raising")

    summary = import_paths("pairs", [pairs_file(tmp_path)], tmp_path / "out")

    assert summary.exit_code is ExitCode.DATA
    assert "the importer of format 'pairs' failed: KeyError" in str(summary.damaged[0])


def test_a_plug_in_that_gives_something_else_makes_the_file_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "def read(document, file): return [document]", package="strange")

    summary = import_paths("pairs", [pairs_file(tmp_path)], tmp_path / "out")

    assert "gave a dict in place of a ForeignRunLog" in str(summary.damaged[0])


def test_a_format_that_two_packages_add_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, LINES, package="first")
    install(tmp_path, monkeypatch, LINES, package="second")

    with pytest.raises(UsageError, match="more than one package: first, second"):
        import_paths("pairs", [pairs_file(tmp_path)], tmp_path / "out")


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        import_paths("nothing", [pairs_file(tmp_path)], tmp_path / "out")

    assert raised.value.next_step == "known formats are agentdojo, openai-messages, tau-bench"
