"""Attribute the change of the mean cost of a run to factors, over the runs that the verdict compares.

The mean cost of a run is the sum over tasks (or strata) of

    share of runs x (calls per run x sum over models of (share of calls x cost of a call) + cost of tools)

and the cost of a call is its tokens by kind times the prices. Each factor can have the baseline's or the candidate's
value. Changing the factors one after the other from baseline to candidate gives each an effect, but the effect depends
on the order. So the effect of a factor is its Shapley value: the mean of its effects over all orders. No order is
preferred, the effects add up to the change exactly, and swapping the deploys flips every sign.

If one side has no value (for a model that it never called), it takes the other side's value. The whole effect of such
a model is then routing. Sums are kept as integers in billionths of the unit, so that they add up exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.reports.aggregates import Aggregate
from harness.reports.columns import Bools, Columns, Floats, Ints
from harness.reports.prices import KINDS, PaidUsage, estimate
from harness.reports.report import Attribution
from harness.reports.segment_effects import segment_effects

FACTORS = ("price", "routing", "calls_per_run", "input", "output", "cache_share", "tool_credits", "task_mix")
_CALLS = ("price", "routing", "calls_per_run", "input", "output", "cache_share", "task_mix")
_SCALE = 10**9
_SAME = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The runs of a verdict.

    Attributes:
        columns: All runs of both sides.
        unit: Task or stratum of each row, -1 if the row is not compared.
        models: Rows of the table `models`.
        tools: Rows of the table `tools`.
        segments: Rows of the table `segments`.
    """

    columns: Columns
    unit: Ints
    models: Aggregate
    tools: Aggregate
    segments: Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The factors of one side; rows are units, columns models.

    Attributes:
        task_mix: Share of the side's runs, by unit.
        calls_per_run: Model calls per run, by unit.
        routing: Share of a unit's calls, by model.
        input: Input tokens of a call.
        output: Output tokens of a call.
        cache: Shares of the input read from and written to a cache, `(2, units, models)`.
        price: Prices of a token by kind, `(models, 4)`.
        excess: Ratio of a call's cost to its cost by these prices; counts as part of the price.
    """

    task_mix: Floats
    calls_per_run: Floats
    routing: Floats
    input: Floats
    output: Floats
    cache: Floats
    price: Floats
    excess: Floats


def attribute(compared: Compared) -> Attribution | None:
    """Return why cost changed, or tokens or tool calls if costs are unknown; `None` if nothing is known."""
    for measure in ("cost_nanousd", "total_tokens", "tool_calls"):
        rows = _known(compared, compared.columns.numbers[measure])
        if rows.any():
            return _by_calls(compared, rows, measure) if measure != "tool_calls" else _by_runs(compared, rows)
    return None


def _known(compared: Compared, values: Floats) -> Bools:
    """Return the rows with known values, of units that have some on both sides."""
    rows = (compared.unit >= 0) & ~np.isnan(values)
    if not rows.any():
        return rows
    width = int(compared.unit.max()) + 1
    cells = np.bincount(compared.unit[rows] * 2 + compared.columns.side[rows], minlength=2 * width)
    both = (cells.reshape(-1, 2) > 0).all(axis=1)
    return np.asarray(rows & np.asarray(both)[compared.unit])


def _by_calls(compared: Compared, rows: Bools, measure: str) -> Attribution:
    priced = measure == "cost_nanousd"
    columns = compared.columns
    lines = _lines(compared, rows, priced=priced)
    units = np.unique(compared.unit[rows], return_inverse=True)
    unit = np.full(len(rows), -1, dtype=np.int64)
    unit[rows] = units[1].reshape(-1)
    first, second = _factors(columns, rows, unit, lines, priced=priced)
    tools = [_tool_credits(compared, rows, unit, side) if priced else first.task_mix * 0.0 for side in (0, 1)]
    effects = _shapley(_CALLS, lambda names: _mean(first, second, names))
    mix = _shapley(
        ("tool_credits", "task_mix"),
        lambda names: float(
            ((second if "task_mix" in names else first).task_mix * tools["tool_credits" in names]).sum()
        ),
    )
    effects["task_mix"] += mix["task_mix"]
    effects["tool_credits"] = mix["tool_credits"]
    values = columns.numbers[measure]
    start, stop = (float(values[rows & (columns.side == side)].mean()) for side in (0, 1))
    constant = None
    if priced:
        same = _mean(first, second, frozenset(_CALLS) - {"price"}) + float((second.task_mix * tools[1]).sum())
        constant = {"candidate": same / 1e9, "ratio": same / start if start else None}
    else:
        effects = {n: v for n, v in effects.items() if n not in {"price", "cache_share", "tool_credits"}}
    scale = 1.0 if priced else 1e9
    return _attribution(
        compared,
        rows,
        "cost_usd" if priced else measure,
        (start * scale, stop * scale),
        {name: value * scale for name, value in effects.items()},
        constant,
    )


def _by_runs(compared: Compared, rows: Bools) -> Attribution:
    """Return the change of tool calls per run by task mix and calls per run."""
    columns, values = compared.columns, compared.columns.numbers["tool_calls"]
    width = int(compared.unit[rows].max()) + 1
    cell = columns.side * width + compared.unit
    runs = np.bincount(cell[rows], minlength=2 * width).reshape(2, width).astype(np.float64)
    sums = np.bincount(cell[rows], weights=values[rows], minlength=2 * width).reshape(2, width)
    share = runs / runs.sum(axis=1, keepdims=True)
    per_run = sums / np.maximum(runs, 1.0)
    effects = _shapley(
        ("task_mix", "calls_per_run"),
        lambda names: float((share[int("task_mix" in names)] * per_run[int("calls_per_run" in names)]).sum()),
    )
    start, stop = (float(values[rows & (columns.side == side)].mean()) for side in (0, 1))
    return _attribution(
        compared,
        rows,
        "tool_calls",
        (start * 1e9, stop * 1e9),
        {name: value * 1e9 for name, value in effects.items()},
        None,
    )


def _shapley(names: tuple[str, ...], value: Callable[[frozenset[str]], float]) -> dict[str, float]:
    """Return the Shapley value of each factor; `value` takes the factors that have the candidate's value."""
    count = len(names)
    known = {
        frozenset(some): value(frozenset(some))
        for size in range(count + 1)
        for some in combinations(names, size)
    }
    weights = [
        math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)
    ]
    return {
        name: sum(
            weights[len(some)] * (known[some | {name}] - known[some]) for some in known if name not in some
        )
        for name in names
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLines:
    """The calls of each model in each examined run.

    Attributes:
        row: Row of the run.
        model: Model, from 0.
        calls: Calls made.
        kinds: Tokens of each kind.
        cost: Cost of the calls; tokens of all kinds if costs are unknown.
    """

    row: Ints
    model: Ints
    calls: Floats
    kinds: Floats
    cost: Floats


def _lines(compared: Compared, rows: Bools, *, priced: bool) -> CallLines:
    """Return the lines of some runs: from the aggregates if they add up to the run, otherwise from the run."""
    columns, models = compared.columns, compared.models
    total = columns.numbers["cost_nanousd" if priced else "total_tokens"]
    credit = _run_credits(compared) if priced else np.zeros(len(rows))
    kinds = _kinds(models.numbers)
    cost = models.numbers["cost_nanousd"] if priced else kinds.sum(axis=1)
    here = rows[models.row] & ~np.isnan(cost) & ~np.isnan(kinds).any(axis=1)
    found = np.bincount(models.row[here], weights=cost[here], minlength=len(rows))
    holes = np.bincount(models.row[~here], minlength=len(rows)) > 0
    adds_up = rows & ~holes & (np.abs(found + credit - np.nan_to_num(total)) <= 1.0) & (found > 0)
    some = here & adds_up[models.row]
    rest = np.flatnonzero(rows & ~adds_up)
    whole = np.nan_to_num(total[rest] - credit[rest])
    rest_kinds = _kinds(columns.numbers)[rest]
    # If tokens are unknown, the whole cost counts as input at price 1.
    unknown = np.isnan(rest_kinds).any(axis=1) | (rest_kinds.sum(axis=1) <= 0)
    rest_kinds[unknown] = 0.0
    rest_kinds[unknown, 0] = whole[unknown]
    codes = {name: i for i, name in enumerate(sorted({*models.name.values, *columns.names["model"].values}))}
    of_models = np.array([*(codes[n] for n in models.name.values), len(codes)], dtype=np.int64)
    of_runs = np.array([*(codes[n] for n in columns.names["model"].values), len(codes)], dtype=np.int64)
    return CallLines(
        row=np.concatenate([models.row[some], rest]),
        model=np.concatenate(
            [of_models[models.name.codes[some]], of_runs[columns.names["model"].codes[rest]]]
        ),
        calls=np.concatenate(
            [
                models.numbers["calls"][some],
                np.maximum(np.nan_to_num(columns.numbers["model_calls"][rest]), 1.0),
            ]
        ),
        kinds=np.concatenate([kinds[some], rest_kinds]),
        cost=np.concatenate([cost[some], whole]),
    )


def _kinds(numbers: dict[str, Floats]) -> Floats:
    """Return fresh input, cache reads, cache writes and output; the input tokens of a run include cached ones."""
    read, write = (np.nan_to_num(numbers[f"cache_{kind}_tokens"]) for kind in ("read", "write"))
    return np.stack([numbers["input_tokens"] - read - write, read, write, numbers["output_tokens"]], axis=1)


def _run_credits(compared: Compared) -> Floats:
    paid = np.nan_to_num(compared.tools.numbers["cost_nanousd"])
    return np.bincount(compared.tools.row, weights=paid, minlength=len(compared.unit)).astype(np.float64)


def _tool_credits(compared: Compared, rows: Bools, unit: Ints, side: int) -> Floats:
    here = rows & (compared.columns.side == side)
    width = int(unit.max()) + 1
    paid = np.bincount(unit[here], weights=_run_credits(compared)[here], minlength=width)
    return np.asarray(paid / np.maximum(np.bincount(unit[here], minlength=width), 1))


def _factors(
    columns: Columns, rows: Bools, unit: Ints, lines: CallLines, *, priced: bool
) -> tuple[Factors, Factors]:
    width, models = int(unit.max()) + 1, int(lines.model.max(initial=0)) + 1
    prices = _prices(columns, lines, models, priced=priced)
    sides = []
    for side in (0, 1):
        runs = np.bincount(unit[rows & (columns.side == side)], minlength=width).astype(np.float64)
        mine = columns.side[lines.row] == side
        cell = unit[lines.row[mine]] * models + lines.model[mine]

        def table(weights: Floats, cell: Ints = cell) -> Floats:
            flat = np.bincount(cell, weights=weights, minlength=width * models)
            return np.asarray(flat.reshape(width, models), dtype=np.float64)

        calls = table(lines.calls[mine])
        kinds = np.stack([table(lines.kinds[mine, kind]) for kind in range(KINDS)])
        sides.append(_side(runs, calls, kinds, table(lines.cost[mine]), prices[side]))
    first, second = _filled(sides[0], sides[1]), _filled(sides[1], sides[0])
    close = np.abs(first.excess - second.excess) <= _SAME * first.excess
    # So small a difference comes from rounding single costs. It must not look like a change of price.
    middle = (first.excess + second.excess) / 2
    return (
        _with_excess(first, np.where(close, middle, first.excess)),
        _with_excess(second, np.where(close, middle, second.excess)),
    )


def _side(runs: Floats, calls: Floats, kinds: Floats, cost: Floats, price: Floats) -> Factors:
    used = kinds[:3].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.einsum("kum,mk->um", kinds, price)
        return Factors(
            task_mix=runs / runs.sum(),
            calls_per_run=calls.sum(axis=1) / runs,
            routing=calls / calls.sum(axis=1)[:, None],
            input=used / calls,
            output=kinds[3] / calls,
            cache=np.where(used > 0, kinds[1:3] / used, np.where(calls > 0, 0.0, np.nan)),
            price=price,
            excess=np.where(expected > 0, cost / expected, np.nan),
        )


def _filled(own: Factors, other: Factors) -> Factors:
    """Return the factors, with the other side's values where this side has none."""

    def fill(mine: Floats, theirs: Floats, last: float) -> Floats:
        return np.nan_to_num(np.where(np.isnan(mine), theirs, mine), nan=last)

    return Factors(
        task_mix=own.task_mix,
        calls_per_run=fill(own.calls_per_run, other.calls_per_run, 0.0),
        routing=fill(own.routing, other.routing, 0.0),
        input=fill(own.input, other.input, 0.0),
        output=fill(own.output, other.output, 0.0),
        cache=fill(own.cache, other.cache, 0.0),
        price=own.price,
        excess=fill(own.excess, other.excess, 1.0),
    )


def _with_excess(side: Factors, excess: Floats) -> Factors:
    return Factors(
        task_mix=side.task_mix,
        calls_per_run=side.calls_per_run,
        routing=side.routing,
        input=side.input,
        output=side.output,
        cache=side.cache,
        price=side.price,
        excess=excess,
    )


def _prices(columns: Columns, lines: CallLines, models: int, *, priced: bool) -> tuple[Floats, Floats]:
    if not priced:
        return np.ones((models, KINDS)), np.ones((models, KINDS))
    side = columns.side[lines.row]
    tables = columns.names["price_table"].codes[lines.row]
    found = np.zeros((2, models, KINDS))
    for model in range(models):
        rows = [np.flatnonzero((lines.model == model) & (side == one)) for one in (0, 1)]
        names = set(tables[np.concatenate(rows)].tolist())
        first, second = (PaidUsage(kinds=lines.kinds[r], cost=lines.cost[r]) for r in rows)
        if len(rows[0]) or len(rows[1]):
            found[:, model] = estimate(first, second, same_table=len(names) == 1 and -1 not in names)
    return found[0], found[1]


def _mean(first: Factors, second: Factors, names: frozenset[str]) -> float:
    """Return the mean of a run with some factors of the candidate and the others of the baseline."""

    def at(name: str) -> Factors:
        return second if name in names else first

    price = at("price").price
    read, write = at("cache_share").cache
    paid = price[:, 0] * (1.0 - read - write) + price[:, 1] * read + price[:, 2] * write
    call = at("input").input * paid + at("output").output * price[:, 3]
    run = (at("routing").routing * at("price").excess * call).sum(axis=1) * at("calls_per_run").calls_per_run
    return float((at("task_mix").task_mix * run).sum())


def _attribution(
    compared: Compared,
    rows: Bools,
    measure: str,
    means: tuple[float, float],
    effects: dict[str, float],
    constant: dict[str, float | None] | None,
) -> Attribution:
    """Return the attribution with integer effects that add up: the largest absorbs the rounding."""
    begin, end = (round(value) for value in means)
    whole = {name: round(value) for name, value in effects.items()}
    rest = (end - begin) - sum(whole.values())
    whole[max(whole, key=lambda name: abs(whole[name]))] += rest
    side = compared.columns.side[rows]
    segments = segment_effects(compared.columns, compared.segments, rows) if measure == "cost_usd" else {}
    return Attribution(
        measure=measure,
        baseline=begin / _SCALE,
        candidate=end / _SCALE,
        delta=(end - begin) / _SCALE,
        factors={name: whole[name] / _SCALE if name in whole else None for name in FACTORS},
        segments=segments,
        runs={"baseline": int((side == 0).sum()), "candidate": int((side == 1).sum())},
        constant_price=constant,
        latency_s=_latency(compared.columns, compared.unit >= 0),
    )


def _latency(columns: Columns, rows: Bools) -> dict[str, float]:
    """Return the change of a run's seconds by model, tool and waiting time; empty if times are unknown."""
    numbers = columns.numbers
    parts = {"model": numbers["model_s"], "tool": numbers["tool_s"]}
    known = rows & ~np.isnan(numbers["duration_s"]) & ~np.isnan(parts["model"]) & ~np.isnan(parts["tool"])
    sides = [known & (columns.side == side) for side in (0, 1)]
    if not all(side.any() for side in sides):
        return {}
    parts["waiting"] = numbers["duration_s"] - parts["model"] - parts["tool"]
    return {name: float(values[sides[1]].mean() - values[sides[0]].mean()) for name, values in parts.items()}
