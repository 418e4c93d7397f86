"""The tests that the pages show run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.golden.rules.matcher_problems import check_expectation
from harness.golden.rules.matchers import mismatches

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("page", "passed", "options"), [("testing", 3, []), ("snapshots", 2, ["--snapshot-update"])]
)
def test_the_tests_of_a_page_pass(page: str, passed: int, options: list[str], tmp_path: Path) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_page.py").write_text("\n\n".join(blocks), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert f"{passed} passed" in done.stdout, done.stdout + done.stderr


def test_the_matcher_of_the_page_is_written_rightly_and_matches() -> None:
    text = (ROOT / "docs/snapshots.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    expected = yaml.safe_load(block)["args"]
    rows = [{"sku": "b-2", "price": 3.001, "id": 1}, {"sku": "A-1", "price": 9.5, "seen_at": "today"}]

    assert list(check_expectation(expected)) == []
    assert mismatches(expected, {"rows": rows}) == []
    assert mismatches(expected, {"rows": rows[1:]}) != []
