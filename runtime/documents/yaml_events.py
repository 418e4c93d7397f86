"""The events of one YAML document, within limits and without recursion; the readers build their values from them.

Theory of operation. libyaml's composer and PyYAML's constructor recurse, so a deep document kills the process. Here
only the event parser runs, which keeps its own stack on the heap, and the first event past the depth limit ends the
reading. An alias counts as many nodes as it stands for, so an alias bomb passes the node limit instead of filling
memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

SYNTAX_HELP = "check indentation, brackets and quotes at this line"


class YamlProblem(Exception):
    """Why a document is refused.

    Attributes:
        what: What is wrong.
        line: Line it stands on, from 1; `None` where it concerns the whole document.
        next_step: What to write instead.
    """

    def __init__(self, what: str, line: int | None, next_step: str) -> None:
        self.what = what
        self.line = line
        self.next_step = next_step
        super().__init__(what)


def yaml_events(data: str | bytes, *, max_depth: int, max_nodes: int) -> Iterator[Any]:
    """Yield the events of the one document of a text: its scalars, aliases, and where collections begin and end.

    Args:
        data: YAML, or JSON; bytes are in the encoding that YAML finds.
        max_depth: Levels of lists and objects.
        max_nodes: Scalars, lists and objects, those an alias stands for counted each time.

    Raises:
        YamlProblem: At the event that breaks a limit, begins a second document or follows an unknown alias; or if
            the text is damaged or empty.
    """
    import yaml  # heavy

    loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        parser = loader(data)
        try:
            yield from _Watch(max_depth, max_nodes).events(parser)
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        raise _damage(error, data, max_depth) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlProblem(f"not YAML: {' '.join(str(error).split())}", None, SYNTAX_HELP) from error


class _Watch:
    """Counts the depth and the nodes of a document."""

    def __init__(self, max_depth: int, max_nodes: int) -> None:
        self._max_depth = max_depth
        self._max_nodes = max_nodes
        self._nodes = 0
        self._open: list[tuple[str | None, int]] = []
        """Anchor of each open collection, and the nodes before it."""
        self._anchors: dict[str, int] = {}
        """Number of nodes to which an alias of this anchor expands."""

    def events(self, parser: Any) -> Iterator[Any]:
        """Yield the events of a parser. The loop runs once for each scalar, so it makes few calls.

        Nested aliases can expand a small file to billions of nodes. So each alias counts with the nodes of its anchor,
        without being expanded, and the limit holds for the expanded document.
        """
        from yaml import events

        scalar, alias = events.ScalarEvent, events.AliasEvent
        starts = (events.MappingStartEvent, events.SequenceStartEvent)
        ends = (events.MappingEndEvent, events.SequenceEndEvent)
        begun = False
        while (event := parser.get_event()) is not None:
            kind = type(event)
            if kind is scalar:
                self._nodes += 1
                if event.anchor is not None:
                    self._anchors[event.anchor] = 1
            elif kind in starts:
                self._begin(event)
            elif kind in ends:
                anchor, before = self._open.pop()
                # Only now, so an alias inside its own anchor finds none and is refused: it would be infinite.
                if anchor is not None:
                    self._anchors[anchor] = self._nodes - before
            elif kind is alias:
                self._follow(event)
            elif kind is events.DocumentStartEvent:
                if begun:
                    raise YamlProblem(
                        "a second document begins here", line_of(event), "keep one document in one file"
                    )
                begun = True
                continue
            else:
                continue
            if self._nodes > self._max_nodes:
                what = f"more than {self._max_nodes:,} values once aliases are followed"
                raise YamlProblem(what, line_of(event), "split the file, or use fewer aliases")
            yield event
        if not begun:
            raise YamlProblem("the file is empty", 1, "write something into it, or remove the file")

    def _begin(self, event: Any) -> None:
        if len(self._open) >= self._max_depth:
            raise _too_deep(self._max_depth, line_of(event))
        self._open.append((event.anchor, self._nodes))
        self._nodes += 1

    def _follow(self, event: Any) -> None:
        nodes = self._anchors.get(event.anchor)
        if nodes is None:
            what = f"alias *{event.anchor} has no anchor before it, or holds itself"
            raise YamlProblem(what, line_of(event), "define the anchor first")
        self._nodes += nodes


def line_of(event: Any) -> int:
    """Return the line of an event, from 1."""
    return int(event.start_mark.line) + 1


def _too_deep(max_depth: int, line: int) -> YamlProblem:
    return YamlProblem(f"nested deeper than {max_depth} levels", line, "flatten the value")


def _damage(error: Any, data: str | bytes, max_depth: int) -> YamlProblem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return YamlProblem(f"not YAML: {' '.join(str(error).split())}", None, SYNTAX_HELP)
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    if re.search(rf"(?:[\[{{]\s*){{{max_depth + 1}}}\Z", text[: mark.index + 1]):
        # The scanner reads ahead of its events, so its own limit can come before ours.
        return _too_deep(max_depth, mark.line + 1)
    what = "; ".join(part for part in (error.context, error.problem) if part)
    return YamlProblem(f"not YAML: {what}", mark.line + 1, SYNTAX_HELP)
