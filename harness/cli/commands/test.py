"""`goldrun test`: run golden tasks under pytest, or on the same engine without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, progress, say
from harness.errors import TaskError
from harness.golden.failure_report import failure_text
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import project_of
from harness.golden.runner import run_task
from harness.golden.summary import judged_trace, summary_lines, summary_row
from harness.golden.task import SUFFIX
from runtime.core.trace import Trace
from runtime.errors import ExitCode, GoldrunError


def run_tests(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Task files or folders; golden/ by default.")
    ] = None,
    pytest: Annotated[bool, typer.Option(help="Run under pytest, or on the same engine without it.")] = True,
    deploy: Annotated[str | None, typer.Option(help="Version label of this run in reports.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write outcomes as rows of a history below this.")
    ] = None,
    json: Json = False,
) -> int:
    """Run golden tasks."""
    paths = paths or [Path("golden")]
    files = _files(paths)
    if pytest and not json:
        return _under_pytest(paths, deploy, report)
    started = time.perf_counter()
    rows: list[dict[str, Any]] = []
    traces: list[Trace] = []
    code = ExitCode.OK
    with progress("testing", len(files)) as advance:
        for file in files:
            try:
                task = load_task(file)
                outcome = run_task(task, project_of(file), deploy=deploy)
            except GoldrunError as error:
                rows.append({"task": str(file), "outcome": "error", "message": f"{error}"})
                code = max(code, ExitCode.DATA)
                continue
            message = "" if outcome.passed else failure_text(outcome)
            state = "passed" if outcome.passed else "quarantined" if outcome.quarantined else "failed"
            rows.append({**summary_row(outcome), "outcome": state, "message": message})
            traces.append(judged_trace(outcome))
            if state == "failed":
                code = max(code, ExitCode.CHECK_FAILED)
            advance(1, task.task)
    _write(traces, deploy, report)
    if json:
        emit_json(
            {"schema": "goldrun.test/1", "tasks": rows, "seconds": round(time.perf_counter() - started, 3)}
        )
    else:
        _print(rows, time.perf_counter() - started)
    return code


def _files(paths: list[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise TaskError("there is no such file or folder", where=str(path), next_step="name golden tasks")
        files += find_tasks(path) if path.is_dir() else [path]
    if not files:
        raise TaskError(
            f"no golden task (*{SUFFIX}) was found",
            where=", ".join(str(p) for p in paths),
            next_step="write one, or promote a recorded run",
        )
    return files


def _under_pytest(paths: list[Path], deploy: str | None, report: Path | None) -> int:
    import pytest

    arguments = [str(p) for p in paths]
    arguments += ["--deploy", deploy] if deploy else []
    arguments += ["--golden-report", str(report)] if report else []
    code = pytest.main(arguments)
    return {
        0: ExitCode.OK,
        1: ExitCode.CHECK_FAILED,
        2: ExitCode.DATA,
        4: ExitCode.USAGE,
        5: ExitCode.DATA,
    }.get(int(code), ExitCode.BUG)


def _write(traces: list[Trace], deploy: str | None, report: Path | None) -> None:
    if report is None:
        return
    from harness.reports import ingest

    ingest(traces, deploy=deploy or "unlabelled", history=report / "history")


def _print(rows: list[dict[str, Any]], seconds: float) -> None:
    for row in rows:
        if row["outcome"] != "passed":
            say(row["message"])
            say()
    done = [r for r in rows if r["outcome"] != "error"]
    for line in summary_lines(done):
        say(line)
    broken = len(rows) - len(done)
    if broken:
        say(f"{broken} tasks could not be run")
    say(f"{len(rows)} tasks in {seconds:.2f} s")
