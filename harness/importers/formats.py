"""The formats that can be imported: our own, and those that installed packages add.

A package adds one by an entry point of the group `goldrun.importers`. Its name is the format; it refers to a
`harness.importers.runlog.Reader`. Only the plug-in that is asked for is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import ImportFailed
from harness.importers import agentdojo, openai_messages, tau_bench
from harness.importers.runlog import ForeignRunLog, Reader
from harness.importers.sources import Document
from runtime.errors import UsageError

GROUP = "goldrun.importers"

DocumentReader = Callable[[Document, str], list[ForeignRunLog | None] | None]

BUILT_IN: dict[str, Reader] = {
    agentdojo.FORMAT: agentdojo.read,
    openai_messages.FORMAT: openai_messages.read,
    tau_bench.FORMAT: tau_bench.read,
}


def format_names() -> list[str]:
    """Return the names of all formats, sorted; nothing of a plug-in is loaded."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def reader_of(name: str) -> DocumentReader:
    """Return what reads a document of a format.

    Raises:
        UsageError: If there is no such format, two packages add it, or its plug-in cannot be loaded.
    """
    if name in BUILT_IN:
        return _checked(name, BUILT_IN[name])
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        raise UsageError(
            f"format {name!r} is not known", next_step=f"known formats are {', '.join(format_names())}"
        )
    if len(points) > 1:
        packages = ", ".join(sorted(_package(point) for point in points))
        raise UsageError(
            f"format {name!r} is added by more than one package: {packages}",
            where=f"entry points {GROUP}",
            next_step="uninstall all but one",
        )
    return _checked(name, _loaded(points[0]))


def _loaded(point: EntryPoint) -> Reader:
    try:
        loaded: Any = point.load()
        reader: Reader = loaded
    except Exception as error:
        # Whatever a foreign package raises while it is imported, the command ends with one error.
        raise _broken(point, f"{type(error).__name__}: {error}") from error
    if not callable(loaded):
        raise _broken(point, f"{type(loaded).__name__} is no function")
    return reader


def _broken(point: EntryPoint, why: str) -> UsageError:
    return UsageError(
        f"the plug-in for format {point.name!r} cannot be loaded: {why}",
        where=f"{_package(point)}, entry point {point.value}",
        next_step="mend or uninstall that package",
    )


def _package(point: EntryPoint) -> str:
    return "an unnamed package" if point.dist is None else point.dist.name


def _checked(name: str, reader: Reader) -> DocumentReader:
    def read(document: Document, file: str) -> list[ForeignRunLog | None] | None:
        """Return a document's runs; a reader that raises or gives something else makes the file damaged."""
        try:
            runs: Any = reader(document.value, file)
            found = None if runs is None else list(runs)
        except Exception as error:
            raise ImportFailed(
                f"the importer of format {name!r} failed: {type(error).__name__}: {error}",
                where=document.where,
            ) from error
        strange = next((run for run in found or () if not isinstance(run, ForeignRunLog | None)), None)
        if strange is not None:
            raise ImportFailed(
                f"the importer of format {name!r} gave a {type(strange).__name__} in place of a ForeignRunLog",
                where=document.where,
            )
        return found

    return read
