"""The page about golden tasks and the schema for editors say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from harness.golden.editor_schema import NOTES, editor_schema, editor_schema_text
from harness.golden.loader import find_tasks, load_task, parse_task
from harness.golden.project import Project
from harness.golden.rules.expect import Expect
from harness.golden.rules.matchers import MATCHERS
from harness.golden.runner import run_task

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "golden.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def models() -> dict[str, Any]:
    schema = editor_schema()
    return {"GoldenTask": schema, **schema["$defs"]}


@pytest.mark.parametrize(("name", "block"), BLOCKS)
def test_each_example_of_the_page_holds_for_its_task(name: str, block: str) -> None:
    real = load_task(ROOT / f"golden/{name}.golden.yaml")
    head = {
        "schema": "golden/1",
        "task": name,
        "agent": real.agent,
        "input": real.input.model_dump(exclude_none=True),
    }

    task = parse_task(f"{yaml.safe_dump(head)}{block}".encode(), real.path)

    outcome = run_task(task, Project(ROOT))
    assert outcome.passed, [f.message for f in outcome.failures]


def test_the_page_has_an_example_of_each_expectation() -> None:
    shown = {rule for _, block in BLOCKS for rule in yaml.safe_load(block)["expect"]}

    assert shown == set(Expect.model_fields)


def test_the_page_names_each_matcher() -> None:
    named = set(re.findall(r"`\{(\w+): ", PAGE.partition("## Matchers")[2]))

    assert set(MATCHERS) <= named


def test_the_first_example_of_the_page_is_a_task() -> None:
    (block,) = re.findall(r"^```yaml\n(schema.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    task = parse_task(block.encode(), ROOT / "golden/support/late_parcel.golden.yaml")

    assert run_task(task, Project(ROOT)).passed


def test_the_python_of_the_page_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_each_field_of_the_schema_has_a_description() -> None:
    fields = {model: set(part.get("properties", {})) for model, part in models().items()}

    assert {model: set(notes) for model, notes in NOTES.items()} == {m: f for m, f in fields.items() if f}
    assert [note for notes in NOTES.values() for note in notes.values() if not note.endswith(".")] == []


def test_the_published_schema_is_that_of_the_reader() -> None:
    published = (ROOT / "docs" / "golden-task.schema.json").read_text(encoding="utf-8")

    assert published == editor_schema_text(), (
        "run `python -m harness.golden.editor_schema docs/golden-task.schema.json`"
    )


@pytest.mark.parametrize("path", find_tasks(ROOT / "golden"), ids=lambda p: p.name)
def test_the_published_schema_takes_the_tasks_that_the_reader_takes(path: Path) -> None:
    published = json.loads((ROOT / "docs" / "golden-task.schema.json").read_bytes())

    jsonschema_rs.validate(published, yaml.safe_load(path.read_bytes()))
