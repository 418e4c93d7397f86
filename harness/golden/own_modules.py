"""Give each project its own modules where two projects have a module of the same name.

Python keeps one module for a name. In a repository of several services, each with an `agent.py`, the second service
would be tested with the agent of the first. So while a project's folder is importable, modules of other folders
whose top-level name the project has too are out of `sys.modules`, and its own are in; afterwards it is as before.
The standard library, installed packages and goldrun itself are never taken out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_OURS = frozenset({"runtime", "harness"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_kept: dict[Path, dict[str, ModuleType]] = {}
"""Modules of projects that are not entered now and could not stay in `sys.modules`."""


@contextmanager
def own_modules(folder: Path) -> Iterator[None]:
    """Have `sys.modules` hold a project's modules in place of those of other folders with the same names."""
    root = folder.resolve()
    foreign = {name for name in _tops(root) if _is_foreign(name, root)}
    if not foreign:
        yield
        return
    others = _take(foreign)
    sys.modules.update(_kept.pop(root, {}))
    try:
        yield
    finally:
        _kept[root] = _take(foreign)
        sys.modules.update(others)


def _tops(root: Path) -> set[str]:
    """Return the top-level names that a folder has modules for, of those that are loaded."""
    try:
        names = {entry.stem if entry.suffix == ".py" else entry.name for entry in root.iterdir()}
    except OSError:
        return set()
    return names & sys.modules.keys() - sys.stdlib_module_names - _OURS


def _is_foreign(name: str, root: Path) -> bool:
    """Return whether a loaded module comes from another folder, though this one has a module of its name."""
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    if file is not None:
        place = Path(file).resolve()
        home = place.parent.parent if hasattr(module, "__path__") else place.parent
        own = (root / f"{name}.py").is_file() or (root / name / "__init__.py").is_file()
        return own and home != root and not _INSTALLED & set(place.parts)
    # A package without __init__ spreads over all folders of the path; where its modules came from tells whose it is.
    below = (m for n, m in sys.modules.items() if n.startswith(f"{name}."))
    files = [Path(file).resolve() for m in below if (file := getattr(m, "__file__", None)) is not None]
    return (root / name).is_dir() and any(not file.is_relative_to(root / name) for file in files)


def _take(tops: set[str]) -> dict[str, ModuleType]:
    taken = [name for name in sys.modules if name.partition(".")[0] in tops]
    return {name: sys.modules.pop(name) for name in taken}
