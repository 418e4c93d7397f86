"""Switch one guard off: a pytest plugin (`-p tests.mutants`), for `nox -s mutants`.

`GOLDRUN_MUTANT=<name>` names a guard of `tests.mutant_list`; it is off in the tests' process and in the processes
that they start. Product code knows nothing of it: attributes are replaced from outside, as a wrong edit would.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

VARIABLE = "GOLDRUN_MUTANT"


def pytest_configure() -> None:
    """Switch the named guard off before any test is collected."""
    apply_from_environment()


def apply_from_environment() -> None:
    """Switch off the guard that the environment names, if it names one."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    from tests.mutant_list import MUTANTS

    mutant = MUTANTS[name]
    for target in mutant.targets:
        module, _, path = target.partition(":")
        owner: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, last, mutant.make(getattr(owner, last)))


def main(names: list[str]) -> int:
    """Print `<mutant> <test>` a line, of all mutants or of those named."""
    from tests.mutant_list import MUTANTS

    unknown = sorted(set(names) - set(MUTANTS))
    if unknown:
        sys.stderr.write(f"{unknown[0]!r} is no mutant; there are {', '.join(MUTANTS)}\n")
        return 2
    for name in names or MUTANTS:
        for test in MUTANTS[name].breaks:
            sys.stdout.write(f"{name} {test}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
