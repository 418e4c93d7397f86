"""Values of the wrong kind are refused where an object is made: all of them in one error.

A field that takes a wrong value in silence is found much later, or never: `max_steps="5"` would compare as no
limit does. The checks are plain comparisons, because a run tree and a replay make many such objects.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from runtime.core.money import MOST_USD, exact_usd, usd_to_nanos
from runtime.errors import UsageError

_SHOWN_CHARS = 80
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+")


class Problems:
    """The mistakes of one object, gathered before it is refused."""

    __slots__ = ("_found", "_owner")

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._found: list[str] | None = None

    def add(self, name: str, value: object, wanted: str) -> None:
        """Add a mistake: the field, its value, and what it should be."""
        self.say(f"{name} is {shown(value)}, not {wanted}")

    def say(self, problem: str) -> None:
        """Add a mistake in words of one's own."""
        if self._found is None:
            self._found = []
        self._found.append(problem)

    def refuse(self) -> None:
        """Raise if there are mistakes.

        Raises:
            UsageError: Names each mistake.
        """
        if self._found is not None:
            raise UsageError(
                "; ".join(self._found),
                where=self._owner,
                next_step="correct these values where the object is made",
            )

    def whole(self, name: str, value: Any, *, at_least: int, optional: bool = False) -> None:
        """Check a whole number; a bool is none."""
        if optional and value is None:
            return
        if type(value) is not int or value < at_least:
            wanted = f"a whole number of at least {at_least}"
            self.add(name, value, f"{wanted}, or None" if optional else wanted)

    def number(
        self,
        name: str,
        value: Any,
        *,
        at_least: float | None = None,
        above: float | None = None,
        optional: bool = False,
    ) -> None:
        """Check a finite number; a bool is none."""
        if optional and value is None:
            return
        right = type(value) in {int, float} and _is_finite(value)
        if right and (at_least is None or value >= at_least) and (above is None or value > above):
            return
        wanted = "a finite number" + (f" above {above:g}" if above is not None else "")
        wanted += "" if at_least is None else f" of at least {at_least:g}"
        self.add(name, value, f"{wanted}, or None" if optional else wanted)

    def dollars(self, name: str, value: Any) -> Decimal | None:
        """Return an amount of dollars, exact to a billionth; a bool is none."""
        if value is None:
            return None
        plain = type(value) in {int, float} or isinstance(value, Decimal)
        # `Decimal` also reads `1_000`, digits of other scripts and blanks around a number.
        if plain or (type(value) is str and _DECIMAL.fullmatch(value)):
            try:
                nanos = usd_to_nanos(value)
                # A limit that rounds to nothing would stop the run at once, and nobody asked for that.
                if nanos or not Decimal(str(value)):
                    return exact_usd(nanos)
            except ValueError:
                pass
        self.add(name, value, f'dollars from 0 to {MOST_USD:,} like "0.05", or None for no limit')
        return None

    def text(self, name: str, value: Any, *, optional: bool = False) -> None:
        """Check a text."""
        if not isinstance(value, str) and not (value is None and optional):
            self.add(name, value, "text, or None" if optional else "text")

    def names(self, name: str, value: Any, *, optional: bool = False) -> Any:
        """Check a tuple or list of names, and return it."""
        if optional and value is None:
            return value
        if not isinstance(value, tuple | list):
            example = f"({value!r},)" if isinstance(value, str) else '("kb.search",)'
            self.add(name, value, f"a tuple of names like {example}")
        else:
            for item in value:
                if not isinstance(item, str) or not item:
                    self.add(name, item, "a name")
        return value

    def scalars(self, name: str, value: Any) -> None:
        """Check a tuple or list of texts, numbers and bools; `None` is none."""
        if value is None:
            return
        if not isinstance(value, tuple | list) or not all(type(v) in {str, int, float, bool} for v in value):
            self.add(name, value, "a tuple of texts, numbers or bools, or None")

    def one_of(self, name: str, value: Any, choices: tuple[str, ...]) -> None:
        """Check a word of a closed set."""
        if not isinstance(value, str) or value not in choices:
            self.add(name, value, f"one of {', '.join(choices)}")

    def instance(self, name: str, value: Any, kind: type, *, optional: bool = False) -> None:
        """Check that a value is of a type of ours."""
        if not isinstance(value, kind) and not (value is None and optional):
            self.add(name, value, f"a {kind.__name__}, or None" if optional else f"a {kind.__name__}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def shown(value: object) -> str:
    """Return a value as a message shows it: short, and never an error of its own."""
    if type(value) is int and value.bit_length() > 256:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign repr runs here, and a message about a mistake must not fail
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 4]} ..."
