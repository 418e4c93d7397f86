"""`goldrun demo`: the whole loop on a support agent, in numbered stages that are each checked."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.ingest import ingest_targets
from harness.cli.demo_show import Show, shortened
from harness.cli.demo_stages import SETTINGS, DemoProject, Edit, Suite, stop_counts
from harness.cli.output import progress
from harness.text import table
from runtime.core.money import usd_text
from runtime.core.trace import Trace
from runtime.errors import ExitCode

STEPS = 13
"""Number of commands that the demo runs, for the progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadDeploy:
    """A deploy that the suite must catch.

    Attributes:
        name: Its label.
        title: The change that was deployed.
        why: Why it is bad, in one sentence.
        edit: The line that changed.
        cause: Cause that the suite must name.
        shown: Golden task whose failure is printed.
        aftermath: Its effect in production, in one sentence.
        gates: Metrics that the report judges in addition to its defaults.
        report_until: Heading of the report at which the excerpt ends.
    """

    name: str
    title: str
    why: str
    edit: Edit
    cause: str
    shown: str
    aftermath: str
    gates: tuple[str, ...] = ()
    report_until: tuple[str, ...] = ("metric ",)


SCHEMA = BadDeploy(
    name="v2-schema",
    title="a field of a tool's schema is renamed",
    why="The instructions still say order.lookup(order_id), and the model believes them.",
    edit=Edit(file=SETTINGS, before='ORDER_FIELD = "order_id"', after='ORDER_FIELD = "order_number"'),
    cause="tool schema",
    shown="support/where_is_it",
    aftermath="Deployed all the same, the model repeats the refused call until the loop guard ends the run:",
)
RETRIES = BadDeploy(
    name="v3-retries",
    title="the field is restored, and the retries of a slow carrier are doubled",
    why="One carrier is down. Answers stay the same, so nobody would notice.",
    edit=Edit(file=SETTINGS, before="CARRIER_ATTEMPTS = 2", after="CARRIER_ATTEMPTS = 4"),
    cause="count",
    shown="support/carrier_down",
    aftermath="Deployed all the same, every answer is right, and late:",
    gates=("duration_s",),
    report_until=("total ",),
)
BASELINE = "v1"
_CONSEQUENCES = ("recorded: ", "now: ", "then: ", "nearest: ", "next: ")
_REPEATS = ("18 tasks paired", "- looping runs", "tokens  ", "steps  ")
"""Lines left out of printed failures and reports, because other lines say the same."""
DIFFED = "req_where_is_7302"


@dataclass(slots=True)
class Story:
    """State of a running demo.

    Attributes:
        project: The project in its folder.
        pool: Thread that serves customers while the suite runs.
        show: Prints to the terminal.
        runs: Production runs of each deploy.
        problems: Results that contradict the text of the demo.
        done: Number of commands run so far.
    """

    project: DemoProject
    pool: ThreadPoolExecutor
    show: Show = field(default_factory=Show)
    runs: dict[str, list[Trace]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    done: int = 0

    def expect(self, holds: bool, otherwise: str) -> None:
        """Add a problem if the condition does not hold."""
        if not holds:
            self.problems.append(otherwise)


def demo(
    keep: Annotated[Path | None, typer.Option(help="Work in this empty folder and keep it.")] = None,
) -> int:
    """Show the whole loop on a support agent: record, golden suite, two bad deploys, diff, cost report."""
    return run_demo(keep)


def run_demo(keep: Path | None) -> int:
    """Run the demo; return the exit code.

    Args:
        keep: Empty or new folder to work in, which is kept. Without it, a temporary folder is used and removed.

    Raises:
        UsageError: If the folder is not empty, or the extra `harness` is not installed.
        CheckFailed: If a command of the demo fails.
    """
    started = time.perf_counter()
    root = Path(tempfile.mkdtemp(prefix="goldrun-demo-")) if keep is None else keep.resolve()
    try:
        with ThreadPoolExecutor(1) as pool:
            story = Story(DemoProject.create(root), pool)
            _run_stages(story)
    finally:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)
    return _close(story, keep, time.perf_counter() - started)


def _run_stages(story: Story) -> None:
    story.show.title("goldrun demo: a support agent, its golden suite, and two bad deploys that it catches")
    story.show.text(
        "All is real but the model, a script on 127.0.0.1: no key, no network. Output is shortened."
    )
    _introduce(story)
    _record(story)
    _pass(story)
    for deploy in (SCHEMA, RETRIES):
        _catch(story, deploy)
    _compare_runs(story)
    _report(story)


def _introduce(story: Story) -> None:
    story.show.stage("The project, in a fresh folder: a support agent with four tools")
    rows = [
        ["shop/agent.py, tools.py, world.py", "instructions, limits, tools, and the shop behind them"],
        [SETTINGS, "what a deploy changes"],
        ["shop/provider.py, traffic.py", "the scripted model, and customers who ask"],
        [
            "golden/support/*.golden.yaml",
            f"{len(story.project.tasks())} golden tasks: an input, what must hold",
        ],
    ]
    width = max(len(row[0]) for row in rows)
    story.show.output(f"{file:<{width}}   {what}" for file, what in rows)


def _record(story: Story) -> None:
    story.show.stage("Record: each golden task runs once for real and leaves a cassette to review")
    story.show.command(
        "goldrun record golden/support/*.golden.yaml --script shop.provider:policy --allow-writes"
    )
    with progress("demo", STEPS) as advance:
        advance(story.done, "recording")
        output = story.project.record()
    story.done += 1
    story.show.output(output.splitlines())
    cassettes = list(story.project.root.glob("cassettes/support/*.cassette.json"))
    story.expect(len(cassettes) == len(story.project.tasks()), "a golden task left no cassette")


def _pass(story: Story) -> None:
    story.show.stage(
        f"{BASELINE}: the suite is green, and the agent goes live",
        "The cassettes answer in place of model and tools; guards, retries and prompts are the real code.",
    )
    story.show.command("pytest -q golden")
    customers = story.pool.submit(story.project.serve, BASELINE)
    with progress("demo", STEPS) as advance:
        advance(story.done, "pytest")
        code, output = story.project.pytest()
    story.done += 1
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("===")]
    story.show.output(lines if code else lines[-2:])
    story.expect(code == ExitCode.OK, f"the golden suite of {BASELINE} is not green")
    _serve(story, BASELINE, customers)
    story.expect(
        all(run.stop_reason == "finish" for run in story.runs[BASELINE]),
        f"a run of {BASELINE} did not finish",
    )


def _catch(story: Story, deploy: BadDeploy) -> None:
    project, show = story.project, story.show
    if deploy is not SCHEMA:
        project.change(Edit(file=SETTINGS, before=SCHEMA.edit.after, after=SCHEMA.edit.before))
    project.change(deploy.edit)
    show.stage(f"{deploy.name}: {deploy.title}", deploy.why)
    show.change(deploy.edit.file, deploy.edit.before, deploy.edit.after)
    show.command("goldrun test golden --no-pytest")
    customers = story.pool.submit(project.serve, deploy.name)
    with progress("demo", STEPS) as advance:
        advance(story.done, f"golden suite on {deploy.name}")
        suite = project.suite()
    story.done += 1
    _show_suite(story, suite, deploy)
    show.text(deploy.aftermath)
    _serve(story, deploy.name, customers)


def _show_suite(story: Story, suite: Suite, deploy: BadDeploy) -> None:
    from harness.golden.summary import summary_lines

    shown = next((row for row in suite.failed if row["task"] == deploy.shown), None)
    if shown is not None:
        story.show.output(shortened(shown["message"], without=_CONSEQUENCES))
    story.show.output(summary_lines([row for row in suite.rows if row["outcome"] != "error"]))
    story.expect(suite.code == ExitCode.CHECK_FAILED, f"the golden suite does not fail on {deploy.name}")
    story.expect(shown is not None, f"{deploy.shown} does not fail on {deploy.name}")
    story.expect(
        suite.causes == {deploy.cause},
        f"on {deploy.name} the suite names {sorted(suite.causes)} and not {deploy.cause!r} as the cause",
    )


def _serve(story: Story, deploy: str, customers: Future[list[Trace]]) -> None:
    story.show.command(f"python -m shop.traffic {deploy}")
    with progress("demo", STEPS) as advance:
        advance(story.done, f"customers of {deploy}")
        runs = story.runs[deploy] = customers.result()
    story.done += 1
    story.show.output([f"{len(runs)} runs recorded in production/{deploy}.jsonl: {stop_counts(runs)}"])


def _compare_runs(story: Story) -> None:
    from harness.diff import diff_traces, render_text

    show = story.show
    show.stage(
        "Diff: one customer's question under two versions, call by call",
        "`=` same, `~` changed, `-` removed, `r` repeated; A is v1, B the other version.",
    )
    show.command(f"goldrun diff production/v1.jsonl#{DIFFED} production/{SCHEMA.name}.jsonl#{DIFFED}")
    before = story.project.run_of(BASELINE, DIFFED)
    difference = diff_traces(before, story.project.run_of(SCHEMA.name, DIFFED))
    text = render_text(difference, width=100)
    show.output(shortened(text, first="verdict", until=("stop reason", "output")))
    show.output(
        shortened(
            text, first="calls:", without=("result: ", "error: ", "attempts: ", "tool_calls: "), limit=9
        )
    )
    story.done += 1
    story.expect(
        difference.verdict == "regressed", f"the diff of {DIFFED} says {difference.verdict}, not regressed"
    )


def _report(story: Story) -> None:
    show = story.show
    show.stage(
        "Report: what each deploy did to cost, calls and time, over all customers",
        "Runs become rows of a Parquet history; deploys are compared task by task.",
    )
    show.command("for d in v1 v2-schema v3-retries; do goldrun ingest production/$d.jsonl --deploy $d; done")
    for deploy in (BASELINE, SCHEMA.name, RETRIES.name):
        journal = str(story.project.journal(deploy))
        ingested = ingest_targets([journal], deploy=deploy, history=story.project.history, git_sha=None)
        story.done += 1
        story.expect(ingested.added == len(story.runs[deploy]), f"not every run of {deploy} was ingested")
    headers = ("deploy", "runs", "finished", "looping", "tool calls", "executions", "retries", "cost $")
    show.output(table(map(_deploy_cells, story.runs.items()), headers, "lrrrrrrr").splitlines())
    for bad in (SCHEMA, RETRIES):
        _show_report(story, bad)


def _show_report(story: Story, deploy: BadDeploy) -> None:
    from harness.reports import compare, render_text

    options = "".join(f" --gate {gate}" for gate in deploy.gates)
    story.show.command(f"goldrun report --baseline {BASELINE} --candidate {deploy.name}{options}")
    with progress("demo", STEPS) as advance:
        advance(story.done, f"report on {deploy.name}")
        comparison = compare(
            story.project.history, baseline=BASELINE, candidate=deploy.name, gates=deploy.gates
        )
    story.done += 1
    story.show.output(shortened(render_text(comparison), until=deploy.report_until, without=_REPEATS))
    story.expect(comparison.verdict == "regressed", f"the report on {deploy.name} says {comparison.verdict}")


def _deploy_cells(entry: tuple[str, list[Trace]]) -> list[str]:
    deploy, runs = entry
    totals = [run.totals for run in runs]
    costs = [t.cost_nanousd for t in totals]
    total_cost = None if None in costs else sum(c for c in costs if c is not None)
    return [
        deploy,
        str(len(runs)),
        str(sum(run.stop_reason == "finish" for run in runs)),
        str(sum(t.loops > 0 for t in totals)),
        str(sum(t.tool_calls for t in totals)),
        str(sum(t.tool_executions for t in totals)),
        str(sum(t.retries for t in totals)),
        usd_text(total_cost) or "unknown",
    ]


def _close(story: Story, keep: Path | None, seconds: float) -> int:
    show = story.show
    if story.problems:
        sys.stderr.write("the results of the demo differ from its text:\n")
        sys.stderr.writelines(f"  - {line}\n" for line in story.problems)
        sys.stderr.write("  next: run it again with --keep FOLDER and look at that folder\n")
        return ExitCode.CHECK_FAILED
    show.stage("What now")
    show.text(
        "The golden suite stops both bad deploys and names two causes, the tool schema and the count of calls. The"
        f" report says what each would have cost: money and answers; time. All of it took {seconds:.1f} s."
    )
    if keep is None:
        show.text("The folder was temporary and is gone. Keep one to look around:")
        show.command("goldrun demo --keep shop-demo && cd shop-demo")
        show.command(f"goldrun show production/{SCHEMA.name}.jsonl#{DIFFED}")
        show.command("goldrun replay production/v1.jsonl")
    else:
        show.text(f"The project stands at deploy {RETRIES.name} in {keep}. Look around there:")
        show.command(f"goldrun show production/{SCHEMA.name}.jsonl#{DIFFED}")
        show.command("goldrun test golden")
        show.command(f"goldrun diff {BASELINE} {SCHEMA.name}")
    return ExitCode.OK
