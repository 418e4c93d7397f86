"""Code that a user names as `module:name`: found, or refused with one clear error; `sys.path` is left as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.golden.load_code import build_agent, importable, load_code
from harness.golden.loader import parse_task
from harness.golden.project import Project, load_agent
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


def _service(folder: Path, word: str) -> Path:
    folder.mkdir()
    (folder / "loaded_agent.py").write_text(
        "from runtime import Agent\nfrom loaded_words import WORD\n\n"
        "def build():\n    import loaded_lazily\n    return Agent(name=WORD + loaded_lazily.WORD, model='m')\n"
    )
    (folder / "loaded_words.py").write_text(f"WORD = {word!r}\n")
    (folder / "loaded_lazily.py").write_text(f"WORD = {word.upper()!r}\n")
    return folder


def test_two_projects_with_modules_of_the_same_names_get_their_own(tmp_path: Path) -> None:
    alpha, beta = _service(tmp_path / "alpha", "a"), _service(tmp_path / "beta", "b")
    before = set(sys.modules)
    names = []

    for folder in (alpha, beta, alpha, beta):
        with importable(folder):
            names.append(build_agent("loaded_agent:build", where="agent").name)

    assert names == ["aA", "bB", "aA", "bB"]
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_without_a_package_file_are_told_apart_too(tmp_path: Path) -> None:
    before = set(sys.modules)
    names = []
    for word in ("a", "b"):
        folder = tmp_path / word / "loaded_space"
        folder.mkdir(parents=True)
        (folder / "agent.py").write_text(
            f"from runtime import Agent\n\ndef build():\n    return Agent(name={word!r}, model='m')\n"
        )

    for word in ("a", "b", "a"):
        with importable(tmp_path / word):
            names.append(build_agent("loaded_space.agent:build", where="agent").name)

    assert names == ["a", "b", "a"]
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import sys; sys.exit(0)", "it called sys.exit(0)"),
        ("raise RuntimeError('no OPENAI_API_KEY')", "RuntimeError: no OPENAI_API_KEY"),
        ("print('hello')", "printed 'hello"),
        ("return 3", "gives int, not a runtime.Agent"),
        ("import loaded_absent", "No module named 'loaded_absent'"),
    ],
)
def test_a_factory_that_exits_raises_or_prints_is_an_error_of_its_task(
    tmp_path: Path, body: str, says: str
) -> None:
    (tmp_path / "loaded_odd.py").write_text(
        f"from runtime import Agent\n\ndef build():\n    {body}\n    return Agent(name='a', model='m')\n"
    )
    text = b"schema: golden/1\ntask: a/b\nagent: loaded_odd:build\ninput: {prompt: hi}\n"
    task = parse_task(text, Path("b.golden.yaml"))

    with pytest.raises(TaskError) as caught:
        load_agent(task, Project(tmp_path))
    sys.modules.pop("loaded_odd", None)

    assert says in caught.value.what
    assert caught.value.where == "b.golden.yaml:3"


def test_a_dependency_that_is_missing_is_named_in_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "loaded_needy.py").write_text("import loaded_absent\n")

    with importable(tmp_path), pytest.raises(UsageError) as caught:
        load_code("loaded_needy:build", where="--agent")

    assert caught.value.next_step is not None
    assert "install 'loaded_absent'" in caught.value.next_step
