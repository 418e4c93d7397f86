"""Why the mean of a run changed: task mix, calls per run, model mix, tokens per call, price.

The mean cost of a run is the sum over tasks of (share of runs) x (model calls per run) x the sum over models
of (share of calls) x (cost of a call), and the cost of a call follows from its tokens and the prices. The
factors are exchanged one after the other from the baseline's to the candidate's, in the order of `EFFECTS`,
and once more backward from the candidate's to the baseline's; the effect of a factor is the mean of its two
steps. So the effects add up to the change exactly, and swapping the deploys turns every sign.

A task or model that one side does not know takes the other side's values, so that all of its weight is mix.
Prices are estimated for each model from cost and tokens by kind (least squares; costs are linear in tokens
but for tiers); where that does not fit, the price is the cost of a token of any kind, task by task. Equal price tables
mean that no price changed. Sums are kept in billionths of the unit as integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.reports.columns import Bools, Columns, Floats, Ints
from harness.reports.pairing import task_names
from harness.reports.report import Attribution

EFFECTS = ("task_mix", "calls_per_run", "model_mix", "tokens_per_call", "price")

_SCALE = 10**9
_FIT = 1e-3
"""Largest relative error with which estimated prices must explain a side's costs."""

_SAME_RATE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The factors of one side; rows are tasks, columns are models.

    Attributes:
        share: Share of the side's runs, by task.
        calls: Model calls per run, by task.
        mix: Share of a task's calls, by task and model.
        unit: Cost (or tokens) of a call, by task and model.
        repriced: The same tokens at the other side's prices.
        known: Cells with calls.
    """

    share: Floats
    calls: Floats
    mix: Floats
    unit: Floats
    repriced: Floats
    known: Bools


def attribute(columns: Columns) -> Attribution | None:
    """Return why cost changed, or tokens or tool calls where costs are unknown; `None` if nothing is known."""
    for measure in ("cost_nanousd", "total_tokens"):
        rows = ~np.isnan(columns.numbers[measure]) & ~np.isnan(columns.numbers["model_calls"])
        if all((rows & (columns.side == side)).any() for side in (0, 1)):
            return _by_models(columns.take(rows), measure)
    return _by_calls(columns)


def _by_models(columns: Columns, measure: str) -> Attribution:
    priced = measure == "cost_nanousd"
    tasks, models = _cells(columns)
    first, second = _factors(columns, tasks, models, measure)
    forward = _chain(first, second)
    backward = _chain(second, first)
    effects = [(step - back) / 2 for step, back in zip(forward, backward, strict=True)]
    start, stop = (_mean(side.share, side.calls, side.mix, side.unit) for side in (first, second))
    constant = None
    if priced:
        same = _mean(second.share, second.calls, second.mix, np.where(second.known, second.repriced, 0.0))
        constant = {"candidate": same / 1e9, "ratio": same / start if start else None}
    scale = 1.0 if priced else 1e9
    return _attribution(
        "cost_usd" if priced else measure,
        start * scale,
        stop * scale,
        {
            name: None if name == "price" and not priced else value * scale
            for name, value in zip(EFFECTS, effects, strict=True)
        },
        columns.side,
        constant,
    )


def _by_calls(columns: Columns) -> Attribution | None:
    """Return the change of tool calls per run by task mix and calls per run."""
    values = columns.numbers["tool_calls"]
    tasks, _ = _cells(columns)
    count = int(tasks.max(initial=-1)) + 1
    if not all((columns.side == side).any() for side in (0, 1)):
        return None
    runs = _table(columns.side * count + tasks, np.ones(len(values)), 2, count)
    sums = _table(columns.side * count + tasks, values, 2, count)
    share = runs / runs.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_run = sums / runs
    per_run = np.where(runs > 0, per_run, per_run[::-1])
    mix = float(((share[1] - share[0]) * (per_run[0] + per_run[1]) / 2).sum())
    calls = float(((per_run[1] - per_run[0]) * (share[0] + share[1]) / 2).sum())
    start, stop = ((share * per_run).sum(axis=1)).tolist()
    effects: dict[str, float | None] = dict.fromkeys(EFFECTS)
    effects.update(task_mix=mix * 1e9, calls_per_run=calls * 1e9)
    return _attribution("tool_calls", start * 1e9, stop * 1e9, effects, columns.side, None)


def _attribution(
    measure: str,
    start: float,
    stop: float,
    effects: dict[str, float | None],
    side: Ints,
    constant: dict[str, float | None] | None,
) -> Attribution:
    """Return the value with integer effects that add up: the largest takes what rounding left."""
    begin, end = round(start), round(stop)
    whole = {name: round(value) for name, value in effects.items() if value is not None}
    rest = (end - begin) - sum(whole.values())
    whole[max(whole, key=lambda name: abs(whole[name]))] += rest
    return Attribution(
        measure=measure,
        baseline=begin / _SCALE,
        candidate=end / _SCALE,
        delta=(end - begin) / _SCALE,
        effects={name: whole[name] / _SCALE if name in whole else None for name in effects},
        runs={"baseline": int((side == 0).sum()), "candidate": int((side == 1).sum())},
        constant_price=constant,
    )


def _cells(columns: Columns) -> tuple[Ints, Ints]:
    """Return each row's task and model; runs that name no task are one task, unknown models one model."""
    tasks, models = task_names(columns), columns.names["model"]
    return (
        np.unique(tasks.codes, return_inverse=True)[1].reshape(-1),
        np.unique(models.codes, return_inverse=True)[1].reshape(-1),
    )


def _factors(columns: Columns, tasks: Ints, models: Ints, measure: str) -> tuple[Factors, Factors]:
    rows, width = int(tasks.max()) + 1, int(models.max()) + 1
    repriced = _reprice(columns, tasks, models) if measure == "cost_nanousd" else columns.numbers[measure]
    sides = []
    for side in (0, 1):
        here = columns.side == side
        task, cell = tasks[here], tasks[here] * width + models[here]
        made = np.maximum(columns.numbers["model_calls"][here], 1.0)
        runs = np.bincount(task, minlength=rows).astype(np.float64)
        calls = _table(cell, made, rows, width)
        amount = _table(cell, columns.numbers[measure][here], rows, width)
        other = _table(cell, repriced[here], rows, width)
        total = calls.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            sides.append(
                Factors(
                    share=runs / runs.sum(),
                    calls=total / runs,
                    mix=calls / total[:, None],
                    unit=amount / calls,
                    repriced=other / calls,
                    known=calls > 0,
                )
            )
    return _filled(sides[0], sides[1]), _filled(sides[1], sides[0])


def _filled(own: Factors, other: Factors) -> Factors:
    """Return the factors with the other side's values where this side has no runs or no calls."""
    here = np.asarray(own.known.any(axis=1))
    return Factors(
        share=own.share,
        calls=np.where(here, own.calls, other.calls),
        mix=np.where(here[:, None], own.mix, other.mix),
        unit=np.where(own.known, own.unit, np.where(other.known, other.repriced, 0.0)),
        repriced=np.where(own.known, own.repriced, np.where(other.known, other.unit, 0.0)),
        known=own.known,
    )


def _chain(start: Factors, stop: Factors) -> list[float]:
    """Return the steps from one side to the other, in the order of `EFFECTS`."""
    states = [
        _mean(start.share, start.calls, start.mix, start.unit),
        _mean(stop.share, start.calls, start.mix, start.unit),
        _mean(stop.share, stop.calls, start.mix, start.unit),
        _mean(stop.share, stop.calls, stop.mix, start.unit),
        _mean(stop.share, stop.calls, stop.mix, stop.repriced),
        _mean(stop.share, stop.calls, stop.mix, stop.unit),
    ]
    return [after - before for before, after in pairwise(states)]


def _mean(share: Floats, calls: Floats, mix: Floats, unit: Floats) -> float:
    return float((share * calls * (mix * unit).sum(axis=1)).sum())


def _reprice(columns: Columns, tasks: Ints, models: Ints) -> Floats:
    """Return each row's cost at the prices of the other side; its own cost where those are unknown."""
    cost = columns.numbers["cost_nanousd"]
    result = cost.copy()
    tables = columns.names["price_table"].codes
    kinds = _token_kinds(columns)
    for model in range(int(models.max()) + 1):
        sides = [(models == model) & (columns.side == side) for side in (0, 1)]
        if not (sides[0].any() and sides[1].any()):
            continue
        ids = set(tables[sides[0]].tolist()) | set(tables[sides[1]].tolist())
        if len(ids) == 1 and -1 not in ids:
            continue
        first, second = (_rates(kinds[rows], cost[rows]) for rows in sides)
        if first is None or second is None:
            _at_token_price(columns, tasks, sides, result)
            continue
        for rows, own, other in ((sides[0], first, second), (sides[1], second, first)):
            result[rows] = _at_rates(cost[rows], kinds[rows], own, other)
    return result


def _at_rates(cost: Floats, kinds: Floats, own: Floats, other: Floats) -> Floats:
    """Return costs at other prices; a kind of token the other side never bought keeps its price."""
    other = np.nan_to_num(np.where(np.isnan(other), own, other))
    own = np.nan_to_num(own)
    if np.allclose(own, other, rtol=_SAME_RATE, atol=0.0):
        return cost
    predicted = kinds @ own
    scale = np.divide(kinds @ other, predicted, out=np.ones_like(predicted), where=predicted > 0)
    return np.asarray(cost * scale)


def _at_token_price(columns: Columns, tasks: Ints, sides: list[Bools], result: Floats) -> None:
    """Set costs to tokens times what a token of the same task cost on the other side, where that is known."""
    cost, tokens = columns.numbers["cost_nanousd"], columns.numbers["total_tokens"]
    count = int(tasks.max()) + 1
    for rows, other in (sides, sides[::-1]):
        known = other & ~np.isnan(tokens)
        paid = np.bincount(tasks[known], weights=cost[known], minlength=count)
        bought = np.bincount(tasks[known], weights=tokens[known], minlength=count)
        usable = rows & ~np.isnan(tokens) & (bought[tasks] > 0)
        result[usable] = tokens[usable] * (paid / np.maximum(bought, 1.0))[tasks[usable]]


def _token_kinds(columns: Columns) -> Floats:
    """Return fresh input, cache reads, cache writes and output of each row; input holds cached tokens."""
    numbers = columns.numbers
    read, write = (np.nan_to_num(numbers[f"cache_{kind}_tokens"]) for kind in ("read", "write"))
    return np.stack([numbers["input_tokens"] - read - write, read, write, numbers["output_tokens"]], axis=1)


def _rates(kinds: Floats, cost: Floats) -> Floats | None:
    """Return the price of each kind of token, NaN for unused kinds; `None` if these rows do not tell."""
    if np.isnan(kinds).any():
        return None
    used = kinds.any(axis=0)
    if len(cost) <= int(used.sum()) or np.linalg.matrix_rank(kinds[:, used]) < int(used.sum()):
        return None
    found = np.linalg.lstsq(kinds[:, used], cost, rcond=None)[0]
    error = np.abs(kinds[:, used] @ found - cost).sum()
    if error > _FIT * max(float(cost.sum()), 1.0) or (found < 0).any():
        return None
    rates = np.full(kinds.shape[1], np.nan)
    rates[used] = found
    return rates


def _table(cell: Ints, weights: Floats, rows: int, width: int) -> Floats:
    flat = np.bincount(cell, weights=weights, minlength=rows * width)
    return np.asarray(flat.reshape(rows, width), dtype=np.float64)
