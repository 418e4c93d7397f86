"""Draws docs/api.md: every public name of the three doors with the first line of its docstring, grouped by job.

`python .ci/draw_api.py` rewrites the page; `--check` says whether it is up to date. A module that gives a door its
first name needs a line in `JOBS`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
HEAD = """\
# Public names

Import from these three packages only: `runtime` runs agents, `runtime.testing` has fakes for their tests, `harness`
records, replays, checks and reports. What is deeper may change. Each name has its contract in its docstring:
`python -c "import runtime; help(runtime.run_agent)"`.

`python .ci/draw_api.py` writes this page from the code.
"""

JOBS: dict[str, dict[str, str]] = {
    "runtime": {
        "Run an agent": (
            "entry.agent entry.run entry.request entry.resume entry.service execution.world orchestrator.setup"
        ),
        "Write tools": "tools.tool tools.arguments ports.tools execution.thread_slots",
        "Say what a run may do and use": "core.policy entry.policy_file",
        "Connect models": "models.anthropic models.openai_chat models.http_model models.answer_bytes ports.models",
        "Messages": "core.messages",
        "Money": "core.money models.prices ports.prices",
        "Keep state": "entry.state ports.state state.tools.credentials",
        "Guard many runs": (
            "execution.governor execution.control_rules state.control.sqlite_store ports.control_store "
            "ports.control_values control.approvals control.breaker control.claims control.ledger control.ratelimit "
            "control.switches"
        ),
        "Effects and their outcomes": "core.effects core.outcomes",
        "Runs as they were recorded": "core.run core.trace core.keys journal.recording journal.records ports.archive",
        "Observe": (
            "observability.event observability.logs observability.metrics observability.run_events "
            "observability.summary observability.audit observability.audit_chain"
        ),
        "Time": "execution.clock",
        "Errors and exit codes": "errors dialects.errors",
        "Also in `runtime.testing`": "testing.loopback testing.scripted",
    },
    "runtime.testing": {
        "Models": "scripted loopback conversation",
        "Time, people and control": "clock desks ram_store",
    },
    "harness": {
        "Record runs": (
            "record.recorder record.production record.janitor record.retention record.sampling record.settings"
        ),
        "Record HTTP": "wire.session wire.misses wire.run_identity wire.match_rules wire.recorded_tool wire.export",
        "Read and write recordings": "cassette.golden_cassette sessions.archive sessions.recordings importers.runlog",
        "Replay": "sessions.replay replay.divergence replay.matching",
        "Test with golden tasks": (
            "golden.loader golden.project golden.record golden.runner golden.task golden.update golden.http_cassette "
            "golden.rules.expect golden.rules.facts golden.rules.fluent"
        ),
        "Compare runs": "diff diff.document reports.frames",
        "Keep secrets out": "redaction.log_filter redaction.redactor redaction.rules redaction.scan",
        "Errors": "errors",
    },
}


def grouped(door: str, homes: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of a door by job.

    Args:
        door: The package.
        homes: The module of each of its names.

    Raises:
        LookupError: If a module has no job, or a job names a module that gives no name.
    """
    job_of = {f"{door}.{home}": job for job, listed in JOBS[door].items() for home in listed.split()}
    if open_ends := sorted(set(homes.values()) ^ job_of.keys()):
        raise LookupError(f"JOBS of {Path(__file__).name} and {door} differ in {', '.join(open_ends)}")
    groups: dict[str, list[str]] = {job: [] for job in JOBS[door]}
    for name, home in sorted(homes.items(), key=lambda item: (item[0].lower(), item[0])):
        groups[job_of[home]].append(name)
    return groups


def summary_of(value: object, name: str, home: str) -> str:
    """Return the first line of a name's docstring; an alias has it below its assignment.

    Raises:
        LookupError: If there is none.
    """
    text = value.__doc__ if inspect.isclass(value) or inspect.isfunction(value) else alias_text(home, name)
    if not text:
        raise LookupError(f"{home}.{name} has no docstring")
    return text.strip().splitlines()[0]


def alias_text(home: str, name: str) -> str | None:
    """Return the text below the assignment of a name in a module."""
    body = ast.parse(inspect.getsource(importlib.import_module(home))).body
    for node, after in pairwise(body):
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    return text
    return None


def page() -> str:
    """Return the text of the page."""
    from runtime.homes import HOME

    parts = [HEAD]
    for door in JOBS:
        module = importlib.import_module(door)
        homes: dict[str, str] = HOME if door == "runtime" else vars(module)["_HOME"]
        parts.append(f"\n## `{door}`\n")
        for job, names in grouped(door, {name: homes[name] for name in module.__all__}).items():
            lines = [
                f"- `{name}`: {summary_of(getattr(module, name), name, homes[name])}\n" for name in names
            ]
            parts.append(f"\n### {job}\n\n{''.join(lines)}")
    return "".join(parts)


def main() -> int:
    """Write the page, or compare it with the code; return 1 if it is out of date."""
    sys.path.insert(0, str(ROOT))
    wanted = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
