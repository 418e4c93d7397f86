"""Compare two runs: align their calls, find what differs in each pair, judge the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.diff.align import Alignment, align, call_hashes
from harness.diff.call_changes import call_changes, unordered_trace
from harness.diff.document import (
    Call,
    CallDiff,
    Divergence,
    Op,
    SameRun,
    TraceDiff,
    call_delta,
    flatten,
    is_write,
    name_of,
)
from harness.diff.similarity import args_key
from harness.diff.verdict import comparability, judge
from runtime.core.signatures import checks_arguments
from runtime.core.trace import ToolStep, Trace

Entry = SameRun | CallDiff


@checks_arguments
def diff_traces(a: Trace, b: Trace, *, ignore_order: bool = False) -> TraceDiff:
    """Return how run B differs from run A, its baseline.

    With `ignore_order` lists in the arguments of tools, and in results that are JSON, are compared as bags. The
    order of calls still counts.

    Symmetric: `diff_traces(b, a)` has the same pairs; added and removed are swapped, and what is `repeated`
    one way is `removed` the other. Pure: reads nothing but the two traces, changes neither.
    """
    left, right = (unordered_trace(a), unordered_trace(b)) if ignore_order else (a, b)
    ours, theirs = flatten(left), flatten(right)
    hashes = call_hashes(ours, theirs)
    alignment = align(ours, theirs, *hashes)
    entries = _Walk(ours, theirs, *hashes, ignore_order=ignore_order).entries(alignment)
    verdict, causes = judge(left, right, entries)
    return TraceDiff(
        a=a,
        b=b,
        verdict=verdict,
        causes=causes,
        comparability=comparability(a, b),
        entries=entries,
        first_divergence=_first_divergence(a, b, entries),
    )


class _Walk:
    """Goes along an alignment and makes its entries."""

    def __init__(
        self, a: list[Call], b: list[Call], ours: list[str], theirs: list[str], *, ignore_order: bool
    ) -> None:
        self._a, self._b = a, b
        self._ours, self._theirs = ours, theirs
        self._ignore_order = ignore_order

    def entries(self, alignment: Alignment) -> tuple[Entry, ...]:
        """Return the entries in B's order, removed calls where they were."""
        end_a, end_b = len(self._a) - alignment.suffix, len(self._b) - alignment.suffix
        found = [*self._equal(0, 0, alignment.prefix)]
        moved_from = {i for i, _ in alignment.moves}
        moved_to = {j: i for i, j in alignment.moves}
        at_a = at_b = alignment.prefix
        for i, j in [*alignment.pairs, (end_a, end_b)]:
            found += [self._removed(k) for k in range(at_a, i) if k not in moved_from]
            found += [
                self._pair(moved_to[k], k, moved=True) if k in moved_to else self._added(k)
                for k in range(at_b, j)
            ]
            if i < end_a:
                found.append(self._pair(i, j))
            at_a, at_b = i + 1, j + 1
        found += self._equal(end_a, end_b, alignment.suffix)
        return tuple(_merged(found))

    def _equal(self, a: int, b: int, count: int) -> Iterator[Entry]:
        """Yield a run of calls with equal hashes; a hash does not cover how many attempts a call took."""
        if not count:
            return
        tries_a = [call.attempts for call in self._a[a : a + count]]
        tries_b = [call.attempts for call in self._b[b : b + count]]
        if tries_a == tries_b:
            yield SameRun(a, b, count)
            return
        for k in range(count):
            yield self._pair(a + k, b + k)

    def _pair(self, i: int, j: int, *, moved: bool = False) -> Entry:
        before, now = self._a[i], self._b[j]
        differs = self._ours[i] != self._theirs[j] or before.attempts != now.attempts
        changes = call_changes(before, now, ignore_order=self._ignore_order) if differs else ()
        if not moved and not changes:
            return SameRun(i, j, 1)
        op: Op = "moved" if moved else "changed"
        delta = call_delta(before, now)
        return CallDiff(op=op, a=i, b=j, name=name_of(now), write=is_write(now), changes=changes, delta=delta)

    def _removed(self, i: int) -> CallDiff:
        call = self._a[i]
        delta = call_delta(call, None)
        return CallDiff(op="removed", a=i, b=None, name=name_of(call), write=is_write(call), delta=delta)

    def _added(self, j: int) -> CallDiff:
        call = self._b[j]
        op: Op = "repeated" if self._repeats(j) else "added"
        delta = call_delta(None, call)
        return CallDiff(op=op, a=None, b=j, name=name_of(call), write=is_write(call), delta=delta)

    def _repeats(self, j: int) -> bool:
        """Tell whether a call of B is like the one of its kind before it; decisions between tools are passed over."""
        call = self._b[j]
        is_tool = isinstance(call, ToolStep)
        for k in range(j - 1, -1, -1):
            before = self._b[k]
            if isinstance(before, ToolStep) is not is_tool:
                continue
            if isinstance(call, ToolStep) and isinstance(before, ToolStep):
                return call.name == before.name and args_key(call) == args_key(before)
            return self._theirs[j] == self._theirs[k]
        return False


def _merged(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the entries with neighbouring runs made one."""
    run: SameRun | None = None
    for entry in entries:
        if not isinstance(entry, SameRun):
            if run is not None:
                yield run
            run = None
            yield entry
        elif run is not None and entry.a == run.a + run.count and entry.b == run.b + run.count:
            run = SameRun(run.a, run.b, run.count + entry.count)
        else:
            if run is not None:
                yield run
            run = entry
    if run is not None:
        yield run


def _first_divergence(a: Trace, b: Trace, entries: Sequence[Entry]) -> Divergence | None:
    """Return where the runs first part; up to there positions in A and B are the same."""
    changed = [entry for entry in entries if isinstance(entry, CallDiff)]
    if changed:
        first = min(changed, key=lambda entry: min(k for k in (entry.a, entry.b) if k is not None))
        path = first.changes[0].path if first.changes else None
        return Divergence(op=first.op, a=first.a, b=first.b, name=first.name, path=path)
    for path in ("stop_reason", "output"):
        if getattr(a, path) != getattr(b, path):
            return Divergence(path=path)
    return None
