"""Alignment: pairs the calls that mean the same, symmetric by construction."""

from __future__ import annotations

from hypothesis import given

from harness.diff.align import Alignment, align, call_hashes
from harness.diff.document import flatten
from harness.diff.similarity import MIN_SIMILARITY, MOVE_SIMILARITY, Features, dice, is_surely_alike, likeness
from tests.harness.diff.builder import Item, Model, Tool, make_trace, related


def aligned(a: list[Item], b: list[Item]) -> Alignment:
    ours, theirs = flatten(make_trace(a)), flatten(make_trace(b))
    return align(ours, theirs, *call_hashes(ours, theirs))


@given(related())
def test_aligning_the_other_way_round_gives_the_same_pairs(runs: tuple[list[Item], list[Item]]) -> None:
    forth, back = aligned(*runs), aligned(*reversed(runs))

    assert (forth.prefix, forth.suffix) == (back.prefix, back.suffix)
    assert forth.pairs == tuple((i, j) for j, i in back.pairs)
    assert set(forth.moves) == {(i, j) for j, i in back.moves}


@given(related())
def test_no_pair_is_less_alike_than_allowed(runs: tuple[list[Item], list[Item]]) -> None:
    a, b = (flatten(make_trace(run)) for run in runs)

    found = align(a, b, *call_hashes(a, b))

    assert all(likeness(Features(a[i]), Features(b[j])) >= MIN_SIMILARITY for i, j in found.pairs)
    assert all(dice(Features(a[i]), Features(b[j])) >= MOVE_SIMILARITY for i, j in found.moves)


@given(related())
def test_likeness_is_symmetric_and_bounded(runs: tuple[list[Item], list[Item]]) -> None:
    for x, y in zip(*(flatten(make_trace(run)) for run in runs), strict=False):
        alike = likeness(Features(x), Features(y))

        assert 0 <= alike <= 1
        assert alike == likeness(Features(y), Features(x))
        assert alike >= MIN_SIMILARITY or not is_surely_alike(x, y)


def test_a_model_call_is_never_paired_with_a_tool_call() -> None:
    found = aligned([Model(text="kb.search")], [Tool(name="kb.search")])

    assert found == Alignment(prefix=0, suffix=0)


def test_tools_of_other_names_and_arguments_are_not_paired() -> None:
    found = aligned([Tool(name="a", arguments={"q": 1})], [Tool(name="b", arguments={"q": 2})])

    assert found.pairs == ()


def test_calls_without_arguments_are_no_rename_of_each_other() -> None:
    assert aligned([Tool(name="status")], [Tool(name="shutdown")]).pairs == ()


def test_of_two_candidates_the_more_alike_is_paired() -> None:
    wanted = Tool(arguments={"q": "late parcel refund eu", "n": 1})
    other = Tool(arguments={"q": "tax form", "n": 7})

    found = aligned([Tool(arguments={"q": "late parcel refund us", "n": 1})], [other, wanted])

    assert found.pairs == ((0, 1),)


def test_traces_without_hashes_align_like_those_with_hashes() -> None:
    run: list[Item] = [Model(text="x", tools=("kb.search",)), Tool(arguments={"q": 1}), Model(text="y")]
    a, b = (flatten(make_trace(items, hashed=False)) for items in (run, [*run[:2], Tool(name="n"), run[2]]))

    found = align(a, b, *call_hashes(a, b))

    assert found == Alignment(prefix=2, suffix=1)


def test_equal_arguments_anchor_a_call_whose_result_changed() -> None:
    run: list[Item] = [Tool(arguments={"q": n}, result="old") for n in range(3)]
    again: list[Item] = [Tool(arguments={"q": n}, result="new") for n in (0, 2)]

    assert aligned(run, again).pairs == ((0, 0), (2, 1))
