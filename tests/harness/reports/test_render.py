"""Text and Markdown: verdict first, and nothing foreign gets through."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.reports import Report, compare, ingest, render_markdown, render_text
from harness.reports.markdown import LIMIT_BYTES, MARKER, code
from runtime.core.trace import Trace

MakeRun = Callable[..., Trace]
CompareRuns = Callable[..., Report]

HOSTILE = (
    "a|b`c\x1b[31m<script>alert(1)</script> @team #12 https://evil.test \u202eflip\n=1+1 [x](javascript:y)"
)


def _changed(
    make_run: MakeRun, compare_runs: CompareRuns, name: str = "kb.search", tasks: int = 20
) -> Report:
    first = [make_run(f"{name} {i}", calls=2, tool=name) for i in range(tasks)]
    second = [make_run(f"{name} {i}", calls=5, tool=name, stop="max_steps") for i in range(tasks)]
    return compare_runs(first, second)


def test_the_verdict_comes_first_and_the_command_last(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    text = render_text(_changed(make_run, compare_runs))
    lines = text.splitlines()

    assert lines[0] == (
        "REGRESSED: b against a: cost unchanged at $0.04; tool calls +150 % (40 -> 100; typical x2.00);"
        " completion 20 -> 0 runs; runs stopped by budget 0 -> 20 runs;"
        " 20 tasks broken (refunds/kb.search 0, refunds/kb.search 1, ...), 0 fixed"
    )
    assert lines[-1].startswith("again: goldrun report --baseline a --candidate b --history ")
    assert "runs stopped by budget 0 -> 20 runs (0.0 % -> 100.0 %): max_steps 0 -> 20" in text
    assert "tool calls +150 % over 20 paired tasks (40 -> 100" in text


def test_an_unchanged_deploy_says_ok(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    runs = [make_run(f"t{i}") for i in range(10)]

    text = render_text(compare_runs(runs, runs))

    assert text.startswith("OK: no regression: b against a: cost unchanged at $0.02\n")
    assert "why:" not in text


def test_hostile_names_reach_no_terminal(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    text = render_text(_changed(make_run, compare_runs, HOSTILE))

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_hostile_names_form_no_markup(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    text = render_markdown(_changed(make_run, compare_runs, HOSTILE))
    outside = re.sub(r"`[^`\n]*`", "", text).replace(MARKER, "")

    assert text.startswith(MARKER)
    assert "@team" not in text
    assert "<script" not in re.sub(r"\\<", "", outside)
    assert "#12" not in outside
    assert "://evil" not in outside
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for line in rows:
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 6, 7, 8)


def test_a_code_span_cannot_be_left() -> None:
    assert code("a`b|c@d\n") == "`a'b\\|c@\u200bd\\n`"
    assert code("") == "` `"


def test_markdown_of_many_long_tasks_fits_a_comment(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    report = _changed(make_run, compare_runs, "\u202e" * 150, tasks=120)
    text = render_markdown(report)

    assert len(text.encode()) <= LIMIT_BYTES
    assert "REGRESSED" in text


def test_a_report_loads_neither_pandas_nor_pyarrow_dataset(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [make_run(f"t{i}", cost=None if i else 1, passed=None if i else True) for i in range(9)]
    ingest(runs, deploy="a", history=tmp_path)
    script = (
        "import sys; from pathlib import Path; from harness.reports import compare, render_text;"
        "print(render_text(compare(Path(sys.argv[1]), baseline='a', candidate='a')));"
        "print('LOADED', [m for m in ('pandas', 'pyarrow.dataset') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )

    assert done.stdout.endswith("LOADED []\n")
    assert compare(tmp_path, baseline="a", candidate="a").verdict == "insufficient"
