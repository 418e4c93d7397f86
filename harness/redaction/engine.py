"""One expression compiled over bytes: google-re2 where it is installed, else Python's `re`.

Both match bytes, ignore case for ASCII letters only and take the leftmost alternative, so a run gets the same
pseudonyms under either. The patterns use what both support: no lookaround, no back reference, no
repetition above 1,000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

from runtime.errors import UsageError

Spans = list[tuple[int, int]]
"""Start and end of the whole match and of each group; (-1, -1) for a group that took no part."""
_MEMORY_BYTES = 64 << 20
"""What re2 may use for one expression; the gate over all keywords needs about a tenth."""


class Finder(Protocol):
    """An expression to be looked for in bytes.

    Attributes:
        groups: Number of each named group.
    """

    groups: dict[str, int]

    def test(self, data: bytes) -> bool:
        """Return whether there is a match."""
        ...

    def first(self, data: bytes, at: int = 0) -> Spans | None:
        """Return the first match that begins at a byte or after it."""
        ...


class PythonFinder:
    """Looks with Python's `re`; linear only because the patterns have no nested repetition."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = re.compile(pattern)
        self.groups: dict[str, int] = dict(self._pattern.groupindex)

    def test(self, data: bytes) -> bool:
        """Return whether there is a match."""
        return self._pattern.search(data) is not None

    def first(self, data: bytes, at: int = 0) -> Spans | None:
        """Return the first match from a byte on."""
        found = self._pattern.search(data, at)
        return None if found is None else [found.span(i) for i in range(self._pattern.groups + 1)]


class _Re2Finder:
    """Looks with re2 by its own binding: the package's `search` makes three objects for each call."""

    def __init__(self, binding: Any, pattern: bytes) -> None:
        options = binding.Options()
        options.encoding = binding.Options.Encoding.LATIN1
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        compiled = binding(pattern, options)
        if not compiled.ok():
            raise ValueError(_text(compiled.error()))
        self.groups = {_text(name): number for name, number in compiled.NamedCapturingGroups()}
        self._match = compiled.Match
        options.never_capture = True
        # Without groups re2 answers from its automaton alone, at hundreds of megabytes a second.
        self._probe = binding(pattern, options).Match
        self._anchor = binding.Anchor.UNANCHORED

    def test(self, data: bytes) -> bool:
        """Return whether there is a match."""
        return bool(self._probe(self._anchor, data, 0, len(data))[0][0] >= 0)

    def first(self, data: bytes, at: int = 0) -> Spans | None:
        """Return the first match from a byte on."""
        spans: Spans = self._match(self._anchor, data, at, len(data))
        return None if spans[0][0] < 0 else spans


class KeywordSet(Protocol):
    """Many literal keywords looked for at once."""

    def found(self, data: bytes) -> Iterable[int]:
        """Return the positions of the keywords that stand in the data, each once, in any order."""
        ...


class PythonKeywords:
    """One scan a keyword: correct, and slow for many of them."""

    def __init__(self, keywords: Sequence[bytes]) -> None:
        self._keywords = tuple(enumerate(keywords))

    def found(self, data: bytes) -> Iterable[int]:
        """Return the positions of the keywords in the data."""
        return [number for number, keyword in self._keywords if keyword in data]


class _Re2Keywords:
    """One scan for all: re2's set automaton, which never gives up on a text as a single expression may."""

    def __init__(self, binding: Any, keywords: Sequence[bytes]) -> None:
        from re2 import _re2  # pyright: ignore[reportAttributeAccessIssue]  # the binding, which has no stub

        options = binding.Options()
        options.encoding = binding.Options.Encoding.LATIN1
        options.literal = True
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        self._set = _re2.Set(binding.Anchor.UNANCHORED, options)
        for keyword in keywords:
            if self._set.Add(keyword) < 0:
                raise ValueError(f"{keyword!r} cannot be added")
        # An empty set, or one that needs more memory than it may use, would answer "none" to every text.
        if not keywords or not self._set.Compile() or len(self.found(b" ".join(keywords))) < len(keywords):
            raise ValueError("the keywords cannot be compiled")

    def found(self, data: bytes) -> list[int]:
        """Return the positions of the keywords in the data."""
        matches: list[int] = self._set.Match(data)
        return matches


def compile_keywords(keywords: Sequence[bytes], *, engine: str | None = None) -> KeywordSet:
    """Return the keywords, ready to be looked for; by re2 where it can, else by Python.

    Args:
        keywords: Literal bytes, case and all; none is empty.
        engine: `re2` or `python`; by default re2 where it is there.
    """
    binding = None if engine == "python" else re2_binding()
    if binding is not None:
        try:
            return _Re2Keywords(binding, keywords)
        except (ImportError, AttributeError, TypeError, ValueError):
            return PythonKeywords(keywords)
    return PythonKeywords(keywords)


def _text(message: Any) -> str:
    return message.decode("latin-1") if isinstance(message, bytes) else str(message)


@lru_cache(maxsize=1)
def re2_binding() -> Any | None:
    """Return the class of re2's own binding, `None` where it is not installed or looks different."""
    try:
        from re2._re2 import RE2

        _Re2Finder(RE2, b"(?P<a>x)")
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return RE2


def compile_finder(pattern: str, *, where: str, engine: str | None = None) -> Finder:
    """Compile an expression.

    Args:
        pattern: The expression; only ASCII.
        where: Rule or file, for the message.
        engine: `re2` or `python`; by default re2 where it is there.

    Raises:
        UsageError: If it is no expression, or one that takes more than linear time.
    """
    make: Callable[[bytes], Finder] = PythonFinder
    binding = None if engine == "python" else re2_binding()
    if binding is not None:
        make = lambda raw: _Re2Finder(binding, raw)  # noqa: E731 - the same shape as the other engine
    try:
        return make(pattern.encode("ascii"))
    except (ValueError, re.error) as error:
        raise UsageError(
            f"the pattern cannot be compiled: {error}",
            where=where,
            next_step="use RE2 syntax: no lookaround, no back reference, repetitions up to 1,000",
        ) from error
