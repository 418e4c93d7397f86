"""Record every example's golden tasks anew and update their baselines: `python examples/record_all.py`.

A cassette is replaced only if the run differs from the recorded one. Otherwise the file stays as it is, because
its times are the only thing that would change.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):  # run as a script, so only the script's own folder is importable
    sys.path.insert(0, str(ROOT))

from examples.loopback import loopback_model  # noqa: E402 - needs the path above
from harness import (  # noqa: E402
    GoldenTask,
    Project,
    find_tasks,
    load_task,
    record_task,
    update_baseline,
)

_OWNED = "examples."
_WRITES = ("ticket.create", "refund.create", "deploy.rollback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What recording one task came to.

    Attributes:
        task: Name of the task.
        stop_reason: How its run ended.
        has_new_cassette: Whether the cassette was replaced.
        has_new_baseline: Whether the baseline was written.
    """

    task: str
    stop_reason: str
    has_new_cassette: bool
    has_new_baseline: bool


def record_all(project: Project, *, force: bool = False) -> list[Recorded]:
    """Record each task whose agent is an example, in the order of the files.

    Args:
        project: Where tasks are read from and cassettes are written to.
        force: Replace cassettes also where only times differ.

    Raises:
        harness.errors.GoldrunError: If a task cannot be read or run.
    """
    tasks = [load_task(path) for path in find_tasks(project.golden)]
    return [record_one(task, project, force=force) for task in tasks if task.factory.startswith(_OWNED)]


def record_one(task: GoldenTask, project: Project, *, force: bool = False) -> Recorded:
    """Record one task against the scripted model of its example; see `record_all`.

    The examples act on worlds of their own, so that their writes may be made.
    """
    module = task.factory.partition(":")[0]
    with loopback_model(module) as model:
        made = record_task(task, project, model=model, allow_writes=_WRITES, force=force)
    return Recorded(
        task=task.task,
        stop_reason=made.result.stop_reason,
        has_new_cassette=made.status == "recorded",
        has_new_baseline=update_baseline(task, project, new=True, changed=True),
    )


def main(arguments: list[str] | None = None) -> int:
    """Record everything and print one line a task."""
    parser = argparse.ArgumentParser(description="Record every example's golden tasks anew.")
    parser.add_argument("--force", action="store_true", help="also where only times would change")
    chosen = parser.parse_args(arguments)
    for each in record_all(Project(ROOT), force=chosen.force):
        cassette = "recorded" if each.has_new_cassette else "unchanged"
        baseline = ", baseline written" if each.has_new_baseline else ""
        sys.stdout.write(f"{each.task}: {each.stop_reason}, {cassette}{baseline}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
