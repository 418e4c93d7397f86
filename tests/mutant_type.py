"""What a mutant is: one guard, how it is switched off, and the tests that must fail then."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutant_edits import Make


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard switched off.

    Attributes:
        guard: What holds while it is on.
        targets: Attributes to replace, as `module:name` or `module:class.name`.
        make: Makes the replacement of an original.
        breaks: Tests that must fail, as pytest names them.
    """

    guard: str
    targets: tuple[str, ...]
    make: Make
    breaks: tuple[str, ...]


def mutant(guard: str, targets: str | tuple[str, ...], make: Make, *breaks: str) -> Mutant:
    """Return a mutant of one target or several."""
    return Mutant(guard, (targets,) if isinstance(targets, str) else targets, make, breaks)
