"""The events of a document: limits hold at the event that breaks them, whatever is built from the events."""

from __future__ import annotations

import pytest

from runtime.documents.yaml_events import YamlProblem, yaml_events


def taken(text: str | bytes, *, max_depth: int = 3, max_nodes: int = 8) -> tuple[int, YamlProblem | None]:
    """Return how many events came, and why no more did."""
    count = 0
    try:
        for _ in yaml_events(text, max_depth=max_depth, max_nodes=max_nodes):
            count += 1
    except YamlProblem as problem:
        return count, problem
    return count, None


def test_a_document_gives_its_scalars_aliases_and_collections() -> None:
    kinds = [
        type(event).__name__.removesuffix("Event")
        for event in yaml_events("a: &x [1]\nb: *x\n", max_depth=2, max_nodes=9)
    ]

    assert kinds == [
        *("MappingStart", "Scalar", "SequenceStart", "Scalar", "SequenceEnd"),
        *("Scalar", "Alias", "MappingEnd"),
    ]


@pytest.mark.parametrize(
    ("text", "events", "line", "what"),
    [
        ("[[[1]]]", 7, None, None),
        ("[[[[1]]]]", 3, 1, "nested deeper than 3 levels"),
        ("[1, 2, 3, 4, 5, 6, 7]", 9, None, None),
        ("[1, 2, 3,\n 4, 5, 6, 7, 8]", 8, 2, "more than 8 values"),
        ("- &x [1, 2]\n- *x\n", 7, None, None),
        ("- &x [1, 2]\n- *x\n- *x\n", 6, 3, "once aliases are followed"),
        ("&x [*x]", 1, 1, "holds itself"),
        ("- *y", 1, 1, "no anchor before it"),
        ("a: 1\n---\nb: 2\n", 4, 2, "a second document"),
        ("a: [\n", 3, 2, "not YAML"),
        ("", 0, 1, "the file is empty"),
        (b"a: \xff\n", 0, None, "not YAML"),
    ],
)
def test_a_document_ends_at_the_event_that_breaks_a_limit(
    text: str | bytes, events: int, line: int | None, what: str | None
) -> None:
    count, problem = taken(text)

    assert count == events
    assert (None if problem is None else problem.line) == line
    assert (problem is None) == (what is None)
    assert what is None or what in str(problem)
