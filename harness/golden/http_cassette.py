"""The value of the fixture `cassette`: an HTTP session with the run that it records or replays, and its rules."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.golden.rules.fluent import TraceCheck, check
from harness.lift.http_runs import lifted_runs
from harness.wire.session import HttpSession
from runtime.core.money import exact_usd
from runtime.core.trace import Trace
from runtime.errors import UsageError

_MOST_SHOWN = 3


class HttpCassette(HttpSession):
    """One recording or replay of a test; arguments as of `HttpSession`."""

    def __init__(self, path: str | os.PathLike[str], **settings: Any) -> None:
        super().__init__(path, **settings)
        self._checks: list[TraceCheck] = []

    @property
    def traces(self) -> tuple[Trace, ...]:
        """What the agent did up to now: a trace for each conversation with a model, in order of their begin.

        Raises:
            UsageError: If nothing was recorded yet.
            CassetteError: If the recording cannot be read.
        """
        return tuple(run.trace() for run in lifted_runs(self.so_far()))

    @property
    def trace(self) -> Trace:
        """What the agent did up to now, as the one conversation that it had.

        Raises:
            UsageError: If there are several conversations, or none.
            CassetteError: If the recording cannot be read.
        """
        traces = self.traces
        if len(traces) != 1:
            raise UsageError(
                f"the agent had {len(traces)} conversations",
                where=str(self.path),
                next_step="use `cassette.traces`" if traces else "see the traffic with `goldrun lift`",
            )
        return traces[0]

    @property
    def cost(self) -> Decimal | None:
        """Dollars that all conversations cost up to now; `None` if a price is unknown."""
        costs = [trace.totals.cost_nanousd for trace in self.traces]
        known = [cost for cost in costs if cost is not None]
        return exact_usd(sum(known)) if len(known) == len(costs) else None

    def check(self) -> TraceCheck:
        """Return the rules of golden tasks for `trace`; they are verified when the test ends, if not before.

        Raises:
            UsageError: As `trace`.
        """
        made = check(self.trace)
        self._checks.append(made)
        return made

    def problem(self) -> str | None:
        """Return why the test fails whatever it says itself, the cause first; `None` if nothing is wrong.

        A request without a recorded answer counts also where the agent swallowed the error; rules that nobody
        verified are verified here.
        """
        if self.misses:
            return str(self.misses[0].line()) + miss_details(self)
        failures = [failure.message for made in self._checks if made.unverified for failure in made.failures]
        for made in self._checks:
            made.close()
        return "\n".join(failures) or None


def miss_details(session: HttpSession) -> str:
    """Return the lines after the first: further misses, where the recording is, and what to do next."""
    more = session.misses[1:]
    lines = [f"  then: {miss.line()}" for miss in more[:_MOST_SHOWN]]
    if len(more) > _MOST_SHOWN:
        lines.append(f"  and {len(more) - _MOST_SHOWN} more")
    lines.append(f"  recording: {_shown(session.path)}")
    lines.append("  next: if the change is wanted, record again with --golden-mode=record")
    return "\n" + "\n".join(lines)


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
