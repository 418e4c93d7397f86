"""Code that a user names as `module:name`: found, or refused with one clear error; `sys.path` is left as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.golden.load_code import build_agent, importable, load_code
from runtime.errors import UsageError

MODULE = """
from runtime import Agent


class Nested:
    limit = 3


def build():
    return Agent(name="a", model="m")


def build_nothing():
    return None


def build_later():
    import loaded_later

    return loaded_later.build()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loaded_code.py").write_text(MODULE)
    (tmp_path / "loaded_later.py").write_text("from loaded_code import build\n")
    (tmp_path / "loaded_broken.py").write_text("1 / 0\n")
    for name in ("loaded_code", "loaded_later"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_name_with_dots_is_found(project: Path) -> None:
    with importable(project):
        assert load_code("loaded_code:Nested.limit", where="--rules") == 3


def test_the_path_is_as_before_when_the_project_is_left(project: Path) -> None:
    before = list(sys.path)

    with importable(project):
        agent = build_agent("loaded_code:build_later", where="--agent")

    assert agent.name == "a"
    assert sys.path == before


def test_who_leaves_first_does_not_take_the_path_from_another(project: Path) -> None:
    before = list(sys.path)
    first, second = importable(project), importable(project)
    first.__enter__()
    second.__enter__()

    first.__exit__(None, None, None)
    agent = build_agent("loaded_code:build", where="--agent")
    second.__exit__(None, None, None)

    assert agent.name == "a"
    assert sys.path == before


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("loaded_code", "'loaded_code' is not of the form module:name"),
        (":build", "':build' is not of the form module:name"),
        ("loaded_code:", "'loaded_code:' is not of the form module:name"),
        ("no_such_module:build", "'no_such_module' cannot be imported: ModuleNotFoundError"),
        ("loaded_broken:build", "'loaded_broken' cannot be imported: ZeroDivisionError"),
        ("loaded_code:bild", "module 'loaded_code' has no 'bild'"),
        ("loaded_code:build_nothing", "gives NoneType, not a runtime.Agent"),
        ("loaded_code:Nested.limit", "is int, not a function"),
    ],
)
def test_what_is_no_agent_is_refused_with_place_and_next_step(
    project: Path, reference: str, words: str
) -> None:
    with importable(project), pytest.raises(UsageError) as caught:
        build_agent(reference, where="--agent")

    assert words in caught.value.what
    assert caught.value.where == "--agent"
    assert caught.value.next_step is not None


def test_a_task_is_refused_with_the_error_of_tasks(project: Path) -> None:
    with importable(project), pytest.raises(TaskError):
        build_agent("loaded_code:bild", where="a.golden.yaml:3", error=TaskError)
