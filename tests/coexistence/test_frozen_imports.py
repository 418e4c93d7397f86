"""With goldrun installed, freezegun and pydantic work as they do without it; what loads under a freeze is sound.

Each project runs in an interpreter of its own: what is loaded before, during and after the freeze is the point.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.coexistence.projects import ROOT, run_pytest
from tests.test_architecture import OURS

USER_MODEL = """
def test_a_later_model_with_dates():
    from datetime import date, datetime
    from pydantic import BaseModel

    class Order(BaseModel):
        day: date
        at: datetime

    assert Order(day="2026-01-02", at="2026-01-02T00:00:00Z").day == date(2026, 1, 2)
"""
FROZEN = """
import datetime, sys
from freezegun import freeze_time

@freeze_time("2026-01-02")
def test_frozen():
    assert datetime.date.today() == datetime.date(2026, 1, 2)
    assert "harness.golden.task" not in sys.modules
"""
DOORS_UNDER_FREEZE = """
import sys
from freezegun import freeze_time

@freeze_time("2026-01-02")
def test_doors_are_first_touched_while_the_clock_is_frozen():
    assert "harness.golden.task" not in sys.modules
    import harness, runtime
    for door in (harness, runtime):
        for name in door.__all__:
            getattr(door, name)
    from harness.golden.task import Quarantine
    assert Quarantine(reason="down", owner="@ops", until="2026-03-04").until.month == 3

@freeze_time("2026-01-02")
def test_a_tool_is_made_while_the_clock_is_frozen():
    import runtime

    @runtime.tool
    def look_up(order: int) -> str:
        "Look an order up."
        return str(order)

    assert look_up.validate({"order": 1}).value.order == 1
"""
FIXTURES_UNDER_FREEZE = """
import pytest
from freezegun import freeze_time

@pytest.fixture
def frozen():
    with freeze_time("2026-01-02"):
        yield

def test_the_fixtures_load_while_the_clock_is_frozen(frozen, golden, cassette):
    with pytest.raises(Exception, match="no_such.golden.yaml"):
        golden("no_such.golden.yaml")
"""
PYDANTIC_FIRST = "from pydantic import BaseModel\n"
PROJECTS = {
    "pydantic is loaded before the freeze": (PYDANTIC_FIRST + FROZEN + USER_MODEL, 2),
    "pydantic is loaded after the freeze": (FROZEN + USER_MODEL, 2),
    "doors load under the freeze, pydantic with them": (DOORS_UNDER_FREEZE + USER_MODEL, 3),
    "doors load under the freeze, pydantic before": (PYDANTIC_FIRST + DOORS_UNDER_FREEZE + USER_MODEL, 3),
    "fixtures load under the freeze": (FIXTURES_UNDER_FREEZE + USER_MODEL, 2),
}


@pytest.mark.parametrize("project", PROJECTS)
def test_freezegun_and_pydantic_work_with_goldrun_installed(project: str, tmp_path: Path) -> None:
    text, count = PROJECTS[project]
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")

    done = run_pytest(tmp_path, "-q", "--golden-mode=record", "-p", "no:randomly")

    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


AUTOUSE = """
import pytest
from freezegun import freeze_time

@pytest.fixture(autouse=True)
def frozen():
    with freeze_time("2026-01-02", real_asyncio=True):
        yield
"""


def test_a_golden_task_runs_where_every_test_is_frozen(tmp_path: Path) -> None:
    for name in ("examples", "cassettes/support/unknown_order.cassette.json"):
        copy(name, tmp_path)
    copy("golden/support/unknown_order.golden.yaml", tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\n', encoding="utf-8"
    )
    (tmp_path / "conftest.py").write_text(AUTOUSE, encoding="utf-8")

    done = run_pytest(tmp_path, "-q", "golden/support", "-p", "no:randomly")

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "verdict: ok" in done.stdout


def copy(name: str, target: Path) -> None:
    """Copy a file or folder of this repository to the same place below another root."""
    source, place = ROOT / name, target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, place)


def test_no_module_with_lazy_names_offers_them_to_dir() -> None:
    lazy = {name: defined(name) for name in OURS.modules if "__getattr__" in defined(name)}

    assert {"harness", "runtime", "runtime.testing"} <= lazy.keys()
    assert [name for name, functions in lazy.items() if "__dir__" in functions] == []


def defined(name: str) -> set[str]:
    """Return the names of a module's own functions."""
    return {getattr(node, "name", "") for node in OURS.modules[name].body}
