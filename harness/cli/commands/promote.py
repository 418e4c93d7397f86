"""`goldrun promote`: make a golden task from a production run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cassette.file_io import replace_file
from harness.cassette.golden_cassette import write_cassette
from harness.cassette.remote import is_url, read_remote_segment
from harness.cassette.segment import read_segment
from harness.cassette.store import kind_of, split_target
from harness.cli.options import Json
from harness.cli.output import emit_json, say, warn
from harness.golden.baseline import baseline_path
from harness.golden.loader import load_task
from harness.golden.project import CASSETTE_SUFFIX, HTTP_SUFFIX, Project
from harness.golden.runner import GoldenOutcome, run_task
from harness.golden.task import SUFFIX
from harness.golden.update import update_baseline
from harness.sessions.promote import promote_run
from harness.sessions.promote_http import promote_http
from harness.sessions.recordings import read_recording
from harness.text import safe_text
from harness.wire.http_copy import write_exchanges
from harness.wire.http_recording import is_http_recording
from runtime.errors import ExitCode, UsageError
from runtime.journal.recording import Recording

_TASK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.@+=-]*)+\Z")


def promote(
    target: Annotated[str, typer.Argument(help="The production run: SEGMENT#REQUEST_ID.")],
    task: Annotated[str, typer.Option(help="Name of the golden task: suite/name.")],
    agent: Annotated[
        str | None,
        typer.Option(help="Run this code in the task: module:factory; of an HTTP run, module:function."),
    ] = None,
    root: Annotated[Path, typer.Option(help="Project folder with golden/ and cassettes/.")] = Path(),
    json: Json = False,
) -> int:
    """Make a golden task, its cassette and its baseline from a production run."""
    project = Project(root.resolve())
    file, request_id = (Path(), None) if is_url(target) else split_target(target)
    is_http = is_http_recording(file)
    path, cassette = _free_names(project, task, HTTP_SUFFIX if is_http else CASSETTE_SUFFIX)
    if is_http:
        report = _promote_http(file, request_id, task, agent, cassette, path)
    else:
        report = _promote_run(target, task, agent, cassette, path)
    outcome = _accepted(path, cassette, project)
    report = {
        "schema": "goldrun.promote/1",
        "task": task,
        "passed": outcome.passed,
        "files": [str(p) for p in (path, cassette, baseline_path(path))],
        **report,
    }
    if json:
        emit_json(report)
    else:
        _print_report(report)
    if not outcome.passed:
        warn(f"the task does not pass yet; see `goldrun test {path}`")
    return ExitCode.OK if outcome.passed else ExitCode.CHECK_FAILED


def _accepted(path: Path, cassette: Path, project: Project) -> GoldenOutcome:
    """Write the baseline of a new task and return how it does; all of a task is written, or nothing."""
    try:
        golden = load_task(path)
        update_baseline(golden, project, new=True, changed=False)
        return run_task(golden, project)
    except BaseException:
        for written in (path, cassette, baseline_path(path)):
            written.unlink(missing_ok=True)
        raise


def _free_names(project: Project, task: str, suffix: str) -> tuple[Path, Path]:
    """Return the files of a new task: its own and its cassette.

    Raises:
        UsageError: If the task has no name of a task, or a file of that name is there.
    """
    if _TASK.match(task) is None:
        raise UsageError(
            f"{task!r} is not a task name", next_step="use suite/name: letters, digits, _ . - and /"
        )
    path = project.golden / f"{task}{SUFFIX}"
    cassette = project.cassettes / f"{task}{suffix}"
    for file_path in (path, cassette, baseline_path(path)):
        if file_path.exists():
            raise UsageError(
                "the file is there already",
                where=str(file_path),
                next_step="choose another name, or remove it first",
            )
    return path, cassette


def _promote_run(target: str, task: str, agent: str | None, cassette: Path, path: Path) -> dict[str, Any]:
    """Write the task and the cassette of a run; return what is reported of it."""
    recording, origin = _production_run(target)
    made = promote_run(recording, task, agent=agent, origin=origin)
    write_cassette(cassette, made.recording, provenance=made.provenance)
    with replace_file(path) as out:
        out.write(_task_yaml(made.task, target).encode())
    return {"redaction": made.redaction.document(), "provenance": made.provenance}


def _promote_http(
    file: Path, request_id: str | None, task: str, agent: str | None, cassette: Path, path: Path
) -> dict[str, Any]:
    """Write the task and the cassette of an HTTP run; return what is reported of it."""
    made = promote_http(file, request_id, task, agent=agent)
    write_exchanges(cassette, made.head, made.exchanges)
    with replace_file(path) as out:
        out.write(_task_yaml(made.task, str(file)).encode())
    pseudonyms = set(re.findall(rb"<secret#\d{1,9}>", cassette.read_bytes()))
    redaction = {"renamed": 0, "found": {}, "pseudonyms": len(pseudonyms)}
    return {"redaction": redaction, "provenance": made.provenance}


def _print_report(report: dict[str, Any]) -> None:
    redaction = report["redaction"]
    say(f"promoted to {report['task']}: {'passes' if report['passed'] else 'FAILS'}")
    for path in report["files"]:
        say(f"  {safe_text(path, 160)}")
    findings = ", ".join(f"{rule} {count}" for rule, count in sorted(redaction["found"].items())) or "none"
    say(
        f"  redaction: {redaction['pseudonyms']} pseudonyms, {redaction['renamed']} renamed, newly found: {findings}"
    )


def _production_run(target: str) -> tuple[Recording, dict[str, Any]]:
    """Return a run and its provenance: the source file and the Merkle roots that prove it."""
    if is_url(target):
        address, _, name = target.rpartition("#")
        segment = read_remote_segment(address)
    else:
        path, request_id = split_target(target)
        if request_id is None or kind_of(path) != "segment":
            recording = read_recording(target)
            return recording, {"promoted_from": path.name}
        name, segment = request_id, read_segment(path)
    entry = segment.find(name)
    origin = {
        "promoted_from": segment.name.replace("\\", "/").rpartition("/")[2],
        "segment_root": segment.root,
        "run_root": entry.root,
    }
    return segment.load(entry), origin


def _task_yaml(task: dict[str, Any], target: str) -> str:
    import yaml

    source = safe_text(target.replace("\\", "/").rpartition("/")[2], 160)
    body = yaml.safe_dump(task, sort_keys=False, allow_unicode=True, width=110)
    return f"# Promoted from {source}. Say here what must not happen again.\n{body}"
