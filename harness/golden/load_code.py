"""The one loader of code that a user names as `module:name`.

The folder of a project must be importable while its code is loaded, and also while it runs: an agent may import
more when it is called. So callers hold `importable` around both, and `sys.path` is as before when they are done.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runtime.entry.agent import Agent
from runtime.errors import GoldrunError, UsageError


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the modules of a folder importable for a while."""
    entry = str(folder)
    # One entry for each holder: with two of them at work, the first to leave must not take the path from the other.
    sys.path.insert(sys.path.index(entry) if entry in sys.path else 0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # the loaded code may have taken it off itself
            sys.path.remove(entry)


def load_code(reference: str, *, where: str, error: type[GoldrunError] = UsageError) -> Any:
    """Return what `module:name` names; a name may have dots.

    Args:
        reference: The reference, as the user wrote it.
        where: The option or line where it stands, for the error.
        error: Class of the error.

    Raises:
        GoldrunError: Of the given class, if the reference is malformed, or names nothing that can be imported.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise error(
            f"{reference!r} is not of the form module:name",
            where=where,
            next_step="write the module, a colon and the name in it, like shop.agent:build",
        )
    try:
        found: Any = importlib.import_module(module_name)
    except (
        Exception
    ) as cause:  # what a module does on import is its own; any failure is an answer to the user
        raise error(
            f"module {module_name!r} cannot be imported: {type(cause).__name__}: {cause}",
            where=where,
            next_step="check the module's name and code; it is looked up from the project's folder and the Python path",
        ) from cause
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as cause:
            raise error(
                f"module {module_name!r} has no {name!r}",
                where=where,
                next_step="name a function or value that the module defines",
            ) from cause
    return found


def build_agent(reference: str, *, where: str, error: type[GoldrunError] = UsageError) -> Agent:
    """Return the agent that the factory `module:name` makes.

    Args:
        reference: The factory, as the user wrote it.
        where: The option or line where it stands, for the error.
        error: Class of the error.

    Raises:
        GoldrunError: Of the given class, if the factory cannot be loaded, or makes no agent.
    """
    factory = load_code(reference, where=where, error=error)
    agent = factory() if callable(factory) else None
    if not isinstance(agent, Agent):
        raise error(
            f"{reference!r} gives {type(agent).__name__}, not a runtime.Agent"
            if callable(factory)
            else f"{reference!r} is {type(factory).__name__}, not a function",
            where=where,
            next_step="name a function that returns a runtime.Agent",
        )
    return agent
