"""Load code that a user names as `module:name`.

An agent may import more modules when it is called. So the project's folder must be importable while its code is
loaded and while it runs: callers hold `importable` around both. Afterwards `sys.path` is as it was before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.golden.own_modules import own_modules
from runtime.entry.agent import Agent
from runtime.errors import GoldrunError, UsageError


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the modules of a folder importable inside the `with` block, its own before those of other projects."""
    entry = str(folder)
    # Each holder adds its own entry. If two holders shared one, the first to leave would take it from the other.
    sys.path.insert(sys.path.index(entry) if entry in sys.path else 0, entry)
    try:
        with own_modules(folder):
            yield
    finally:
        with suppress(ValueError):  # the loaded code may have removed the entry itself
            sys.path.remove(entry)


def load_code(reference: str, *, where: str, error: type[GoldrunError] = UsageError) -> Any:
    """Return the object that `module:name` names; the name may have dots.

    Args:
        reference: The reference, as the user wrote it.
        where: The option or line that holds the reference, for the error.
        error: Class of the error.

    Raises:
        GoldrunError: Of class `error`, if the reference is malformed or cannot be imported.
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
        Exception,
        SystemExit,
    ) as cause:  # importing runs any code of the user, so any exception is possible
        raise error(
            f"module {module_name!r} cannot be imported: {_said(cause)}",
            where=where,
            next_step=_import_step(cause, module_name),
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


def _said(cause: BaseException) -> str:
    if isinstance(cause, SystemExit):
        return f"it called sys.exit({cause.code!r})"
    return f"{type(cause).__name__}: {cause}"


def _import_step(cause: BaseException, module_name: str) -> str:
    missing = (cause.name if isinstance(cause, ModuleNotFoundError) else None) or module_name
    if not f"{module_name}.".startswith(f"{missing}."):
        return f"install {missing.partition('.')[0]!r}, which the module needs, or correct its import"
    return "check the module's name and code; it is looked up from the project's folder and the Python path"


def build_agent(reference: str, *, where: str, error: type[GoldrunError] = UsageError) -> Agent:
    """Return the agent that the factory `module:name` builds.

    Args:
        reference: The factory, as the user wrote it.
        where: The option or line that holds the reference, for the error.
        error: Class of the error.

    Raises:
        GoldrunError: Of class `error`, if the factory cannot be loaded or does not return an agent.
    """
    factory = load_code(reference, where=where, error=error)
    try:
        agent = factory() if callable(factory) else None
    except (Exception, SystemExit) as cause:  # the factory is code of the user
        raise error(
            f"the factory {reference!r} failed: {_said(cause)}",
            where=where,
            next_step="let it return an agent without keys, network or a command line: replay needs none of them",
        ) from cause
    if not isinstance(agent, Agent):
        raise error(
            f"{reference!r} gives {type(agent).__name__}, not a runtime.Agent"
            if callable(factory)
            else f"{reference!r} is {type(factory).__name__}, not a function",
            where=where,
            next_step="name a function that returns a runtime.Agent",
        )
    return agent
