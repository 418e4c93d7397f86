"""`goldrun test`: run golden tasks under pytest, or on the same engine without it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, progress, say
from harness.errors import TaskError
from harness.golden.failure_report import error_text, failure_text
from harness.golden.loader import find_tasks, load_task
from harness.golden.project import project_of
from harness.golden.runner import run_task
from harness.golden.summary import (
    blank_row,
    counts_of,
    failure_groups,
    judged_trace,
    summary_lines,
    summary_row,
    verdict_of,
)
from harness.golden.task import SUFFIX
from harness.text import safe_text
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
    first: dict[tuple[Path, str], str] = {}
    with progress("testing", len(files)) as advance:
        for file in files:
            row, trace = _run(file, deploy, first)
            rows.append(row)
            traces += [] if trace is None else [trace]
            advance(1, row["task"])
    _write(traces, deploy, report)
    seconds = time.perf_counter() - started
    if json:
        emit_json(_document(rows, seconds))
    else:
        _print(rows, seconds)
    counts = counts_of(rows)
    if counts["could not run"]:
        return ExitCode.DATA
    return ExitCode.CHECK_FAILED if counts["failed"] else ExitCode.OK


def _run(
    file: Path, deploy: str | None, first: dict[tuple[Path, str], str]
) -> tuple[dict[str, Any], Trace | None]:
    """Return the row of a task file and its trace; a task whose name another file of its project has cannot run."""
    name = str(file)
    try:
        task = load_task(file)
        name = task.task
        project = project_of(file)
        place = first.setdefault((project.root, task.task), task.where("task"))
        if place != task.where("task"):
            what = f"task {task.task!r} is also in {place}"
            raise TaskError(what, where=task.where("task"), next_step="rename one of them")
        outcome = run_task(task, project, deploy=deploy)
    except GoldrunError as error:
        text = error_text(error)
        return {**blank_row(name, "could not run", text.partition("\n")[0]), "message": text}, None
    message = "" if outcome.passed else failure_text(outcome)
    return {**summary_row(outcome), "message": message}, judged_trace(outcome)


def _document(rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    counts = {state.replace(" ", "_"): number for state, number in counts_of(rows).items()}
    states = {"could not run": "error"}
    tasks = [{**row, "outcome": states.get(row["state"], row["state"])} for row in rows]
    return {
        "schema": "goldrun.test/1",
        "verdict": verdict_of(counts_of(rows)),
        "totals": counts,
        "tasks": tasks,
        "seconds": round(seconds, 3),
    }


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
    """Print one failure of each cause in full, then the verdict line and the tasks of each cause."""
    for group in failure_groups(rows):
        say(group[0]["message"])
        say()
    for row in rows:
        if row["state"] == "quarantined":
            say(f"quarantined: {safe_text(row['task'], 60)}: {safe_text(row['headline'])}")
    for line in summary_lines(rows, width=shutil.get_terminal_size((80, 24)).columns):
        say(line)
    say(f"{len(rows)} tasks in {seconds:.2f} s")
