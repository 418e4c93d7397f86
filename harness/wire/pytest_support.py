"""The `cassette` marker and fixture of pytest, as functions that the plugin hooks in.

`@pytest.mark.cassette("name")` records or replays the HTTP traffic of a test; the fixture `cassette` gives the
session. Recordings stand below `cassettes/http/` of the root folder. They are replayed unless recording was requested.
A missing one fails: nothing is recorded implicitly.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from harness.wire.session import HttpSession

S = TypeVar("S", bound="HttpSession")
SESSION = pytest.StashKey["HttpSession"]()
"""The session of a test, while it runs."""
REPORTED = pytest.StashKey[bool]()
"""Whether the test's own report says what the session missed."""

MARKER = "cassette"
FOLDER = Path("cassettes", "http")
HELP = (
    "cassette(name=None, *, mode=None, redact=True, pace=False, require_all=False, block_processes=False, match=None, "
    "agent=None, agent_version=None, deploy=None, task=None, tenant=None, environment=None, request_id=None): "
    "record or replay the HTTP traffic of the test"
)
_SETTINGS = frozenset({"mode", "redact", "pace", "require_all", "block_processes", "match"})
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")
_EARLIER = re.compile(r"[^A-Za-z0-9._/=-]+")
_LONGEST = 120


def add_marker(config: pytest.Config) -> None:
    """Register the marker; for `pytest_configure`."""
    config.addinivalue_line("markers", HELP)


def request_fixture(items: list[pytest.Item], marker: str = MARKER) -> None:
    """Give tests with a marker the fixture of that name; for `pytest_collection_modifyitems`."""
    for item in items:
        names: list[str] | None = getattr(item, "fixturenames", None)
        if names is not None and marker not in names and item.get_closest_marker(marker) is not None:
            names.insert(0, marker)


def cassette_session(
    request: pytest.FixtureRequest, *, record: bool, make: Callable[..., S] | None = None
) -> Iterator[S]:
    """Record or replay while a test runs; the body of the fixture `cassette`.

    Args:
        request: The fixture's request.
        record: Whether recording was requested.
        make: Makes the session; `HttpSession` by default.

    Raises:
        UsageError: If the marker's arguments are none of those in `HELP`, or the test records with vcrpy too.
        CassetteError: If a recording is missing or damaged.
        WireMiss: At the end, if the test made a request that was not recorded and `REPORTED` does not say that the
            test failed of it.
    """
    from harness.wire.misses import WireMiss
    from harness.wire.neighbours import refuse_vcr
    from harness.wire.session import HttpSession

    if _records_with_vcrpy(request):
        refuse_vcr(request.node.nodeid)  # before either recorder opens, so that it is the test's only error
    name, settings = _marked(request)
    mode: Any = settings.pop("mode", None) or "replay"
    path = _found(request, name, record=record, mode=mode)
    session: Any = (make or HttpSession)(path, mode="record" if record else mode, **settings)
    try:
        with session:
            request.node.stash[SESSION] = session
            yield session
    except WireMiss:
        if not request.node.stash.get(REPORTED, False):
            raise


def _marked(request: pytest.FixtureRequest) -> tuple[str | None, dict[str, Any]]:
    """Return the name of a test's recording and the settings of its session, as the marker says."""
    from harness.wire.run_identity import RunIdentity
    from runtime.errors import UsageError

    marker = request.node.get_closest_marker(MARKER)
    settings: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    names = () if marker is None else marker.args
    name = settings.pop("name", None) or (names[0] if names else None)
    fields = RunIdentity.__struct_fields__
    if len(names) > 1 or not settings.keys() <= _SETTINGS | set(fields):
        raise UsageError(f"the marker is {HELP}", where=request.node.nodeid)
    named = {field: settings.pop(field) for field in fields if field in settings}
    return name, {**settings, "identity": RunIdentity(**named)}


def _found(request: pytest.FixtureRequest, name: str | None, *, record: bool, mode: str) -> Path:
    """Return a test's recording, also under the name that an earlier version gave it."""
    path = recording_path(request.config.rootpath, request.node, name)
    if record or path.exists():
        return path
    earlier = earlier_path(request.config.rootpath, request.node, name)
    if earlier.exists():
        return earlier
    if mode == "replay":
        from harness.errors import CassetteError

        raise CassetteError(
            "there is no such recording",
            where=str(path),
            next_step=f"record it: pytest --golden-mode=record {request.node.nodeid!r}",
        )
    return path


def _records_with_vcrpy(request: pytest.FixtureRequest) -> bool:
    """Return whether pytest-recording or pytest-vcr opens a cassette for the test."""
    config = request.config
    plugins = {"recording": "--disable-recording", "vcr": "--disable-vcr"}
    works = [
        p
        for p, off in plugins.items()
        if config.pluginmanager.hasplugin(p) and not config.getoption(off, False)
    ]
    return bool(works) and request.node.get_closest_marker("vcr") is not None


def recording_path(root: Path, node: pytest.Item, name: str | None) -> Path:
    """Return where a test's recording stands: by its name, else by folder, module, class and its own name.

    Two tests never share a file by accident: what a file name cannot hold is written as `~` and its code.
    """
    if name is not None:
        parts = [part for part in name.removesuffix(".jsonl").split("/") if part not in {"", ".", ".."}]
    else:
        file = node.path.relative_to(root) if node.path.is_relative_to(root) else Path(node.path.name)
        classes = [part.name for part in node.listchain() if _is_class(part)]
        parts = [*file.parent.parts, file.stem, ".".join([*classes, node.name])]
    path = root.joinpath(FOLDER, *map(_file_name, parts))
    return path.with_name(f"{path.name}.jsonl")


def earlier_path(root: Path, node: pytest.Item, name: str | None) -> Path:
    """Return where an earlier version kept the recording; several tests could share it."""
    title = name if name is not None else f"{node.path.stem}/{node.name}"
    clean = "/".join(part for part in _EARLIER.sub("_", title).split("/") if part not in {"", ".", ".."})
    path = root / FOLDER / clean
    return path if path.suffix == ".jsonl" else path.with_name(f"{path.name}.jsonl")


def _is_class(node: Any) -> bool:
    return isinstance(getattr(node, "obj", None), type)


def _file_name(text: str) -> str:
    """Return a text as part of a path; different texts give different parts, also where a file system folds case."""
    escaped = _UNSAFE.sub(lambda found: "".join(f"~{byte:02x}" for byte in found[0].encode()), text)
    parameters = escaped.partition("~5b")[2]
    if len(escaped) <= _LONGEST and parameters == parameters.lower():
        return escaped
    return f"{escaped[:_LONGEST]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
