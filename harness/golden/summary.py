"""The end of a golden run: one verdict line over every task, failures by cause and effect, and what changed.

A row is what is known of one task, as plain values that cross process borders. Its `state` is one of `STATES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from harness.golden.failure_report import effect_of, headline_of
from harness.golden.runner import GoldenOutcome
from harness.text import safe_text, table, wrapped
from runtime.core.money import usd_text
from runtime.core.trace import Trace, parse_trace, trace_json

State = Literal["passed", "failed", "could not run", "quarantined", "skipped", "not run"]
STATES: tuple[State, ...] = ("passed", "failed", "could not run", "quarantined", "skipped", "not run")
SHOWN_CHANGES = 12
"""How many tasks the table of changes lists."""
WIDTH = 80


def summary_row(outcome: GoldenOutcome, state: State | None = None) -> dict[str, Any]:
    """Return a task's outcome as plain values that cross process borders."""
    before, now = outcome.recorded, outcome.trace
    return {
        "task": outcome.task.task,
        "state": state or state_of(outcome),
        "headline": headline_of(outcome),
        "effect": effect_of(outcome),
        "cause": outcome.cause,
        "recorded_only": outcome.task.is_recorded,
        "notes": list(outcome.notes),
        "stop_reason": now.stop_reason,
        "stop_before": before.stop_reason,
        "tool_calls": now.totals.tool_calls,
        "tool_calls_before": before.totals.tool_calls,
        "executions": now.totals.tool_executions,
        "executions_before": before.totals.tool_executions,
        "cost_usd": usd_text(now.totals.cost_nanousd),
        "cost_before": usd_text(before.totals.cost_nanousd),
        "total_tokens": now.totals.total_tokens,
        "failures": len(outcome.failures),
        "divergences": len(outcome.divergences),
    }


def blank_row(task: str, state: State, headline: str = "") -> dict[str, Any]:
    """Return the row of a task that came to no outcome."""
    return {"task": task, "state": state, "headline": headline, "effect": "", "cause": None}


def state_of(outcome: GoldenOutcome) -> State:
    """Return what a task's outcome counts as."""
    if outcome.passed:
        return "passed"
    return "quarantined" if outcome.quarantined else "failed"


def judged_trace(outcome: GoldenOutcome) -> Trace:
    """Return the replayed trace; its labels also hold the verdict of the task's rules."""
    verdict = {"passed": outcome.passed, "failed_rules": [f.rule for f in outcome.failures], "replayed": True}
    return msgspec.structs.replace(outcome.trace, labels={**outcome.trace.labels, **verdict})


def trace_text(outcome: GoldenOutcome) -> str:
    """Return the judged trace as JSON text."""
    return msgspec.json.encode(trace_json(judged_trace(outcome))).decode()


def traces_of(texts: list[str]) -> list[Trace]:
    """Return the traces of `trace_text` documents."""
    return [parse_trace(msgspec.json.decode(text)) for text in texts]


def counts_of(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return how many tasks there are of each state, and of all."""
    found = Counter(row["state"] for row in rows)
    return {"tasks": found.total(), **{state: found[state] for state in STATES}}


def verdict_of(counts: dict[str, int]) -> str:
    """Return the word of the verdict line: `ok` only where every task passed, or was left out on purpose."""
    if counts["failed"] or counts["could not run"]:
        return "failed"
    if counts["not run"] or not counts["passed"] + counts["quarantined"]:
        return "incomplete"
    return "quarantined" if counts["quarantined"] else "ok"


def verdict_line(rows: list[dict[str, Any]]) -> str:
    """Return one line that counts every task."""
    counts = counts_of(rows)
    line = f"verdict: {verdict_of(counts)}: {counts['passed']} of {counts['tasks']} tasks as expected"
    causes = sorted({r["cause"] or "expectation" for r in rows if r["state"] == "failed"})
    line += f"; causes: {', '.join(causes)}" if causes else ""
    others = [f"{counts[state]} {state}" for state in STATES[1:] if counts[state]]
    return f"{line}; {', '.join(others)}" if others else line


def summary_lines(rows: list[dict[str, Any]], *, width: int = WIDTH) -> list[str]:
    """Return failures by cause and effect, the tasks that changed, and the verdict line first."""
    lines = [verdict_line(rows)]
    blind = sum(bool(r.get("recorded_only")) for r in rows)
    if blind:
        lines.append(f"{blind} of them check the cassette, not your code (agent: recorded)")
    for group in failure_groups(rows):
        lines += _group_lines(group, width)
    changed = sorted((r for r in rows if _changed(r)), key=lambda r: str(r["task"]))
    if changed:
        lines += table([_cells(r) for r in changed[:SHOWN_CHANGES]], _HEADERS).splitlines()
    if len(changed) > SHOWN_CHANGES:
        lines.append(f"and {len(changed) - SHOWN_CHANGES} more whose calls, cost or stop reason changed")
    noted = sorted({(note, str(r["task"])) for r in rows for note in r.get("notes", ())})
    return lines + [f"note: {safe_text(task, 40)}: {safe_text(note)}" for note, task in noted[:SHOWN_CHANGES]]


def failure_groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the tasks that failed or could not run, grouped by their first line; the greatest group first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["state"] in {"failed", "could not run"}:
            groups.setdefault(row["headline"], []).append(row)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]["headline"]))


def _group_lines(group: list[dict[str, Any]], width: int) -> Iterator[str]:
    if len(group) == 1:
        yield safe_text(f"{group[0]['task']}: {group[0]['headline']}", width)
        return
    yield safe_text(group[0]["headline"], width)
    effects: dict[str, list[str]] = {}
    for row in group:
        effects.setdefault(row["effect"], []).append(str(row["task"]))
    for effect, tasks in sorted(effects.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        number = f"{len(tasks)} task{'s' if len(tasks) > 1 else ''}"
        yield safe_text(f"  {number}{f', {effect}' if effect else ''}:", width)
        for suite, names in _by_suite(tasks).items():
            yield from wrapped(f"{suite}: " if suite else "", sorted(names), indent=4, width=width)


def _by_suite(tasks: list[str]) -> dict[str, list[str]]:
    """Return names without their suite, by suite: a list of 200 repeats it 200 times otherwise."""
    suites: dict[str, list[str]] = {}
    for task in sorted(tasks):
        suite, slash, name = task.rpartition("/")
        suites.setdefault(suite + slash, []).append(safe_text(name, 40))
    return suites


_HEADERS = ("task", "stop reason", "calls", "executions", "cost $")


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        safe_text(row["task"], 40),
        _pair(row["stop_before"], row["stop_reason"]),
        _pair(row["tool_calls_before"], row["tool_calls"]),
        _pair(row["executions_before"], row["executions"]),
        _pair(row["cost_before"] or "unknown", row["cost_usd"] or "unknown"),
    ]


def _changed(row: dict[str, Any]) -> bool:
    pairs = [("stop_before", "stop_reason"), ("tool_calls_before", "tool_calls")]
    pairs += [("executions_before", "executions"), ("cost_before", "cost_usd")]
    return any(row.get(a) != row.get(b) for a, b in pairs)


def _pair(before: Any, now: Any) -> str:
    return str(now) if before == now else f"{before} -> {now}"
