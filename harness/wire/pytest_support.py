"""The `cassette` marker and fixture of pytest, as functions that the plugin hooks in.

`@pytest.mark.cassette("name")` records or replays the HTTP traffic of a test; the fixture `cassette` gives the
session. Recordings stand below `cassettes/http/` of the root folder. They are replayed unless recording was requested.
A missing one fails: nothing is recorded implicitly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from harness.wire.session import HttpSession

MARKER = "cassette"
FOLDER = Path("cassettes", "http")
HELP = (
    "cassette(name=None, *, mode=None, redact=True, pace=False, require_all=False): "
    "record or replay the HTTP traffic of the test"
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._/=-]+")


def add_marker(config: pytest.Config) -> None:
    """Register the marker; for `pytest_configure`."""
    config.addinivalue_line("markers", HELP)


def request_fixture(items: list[pytest.Item], marker: str = MARKER) -> None:
    """Give tests with a marker the fixture of that name; for `pytest_collection_modifyitems`."""
    for item in items:
        names: list[str] | None = getattr(item, "fixturenames", None)
        if names is not None and marker not in names and item.get_closest_marker(marker) is not None:
            names.insert(0, marker)


def cassette_session(request: pytest.FixtureRequest, *, record: bool) -> Iterator[HttpSession]:
    """Record or replay while a test runs; the body of the fixture `cassette`.

    Args:
        request: The fixture's request.
        record: Whether recording was requested.

    Raises:
        UsageError: If the marker's arguments are none of those in `HELP`, or the test records with vcrpy too.
        CassetteError: If a recording is missing or damaged.
        WireMiss: At the end, if the test made a request that was not recorded.
    """
    from harness.wire.neighbours import refuse_vcr
    from harness.wire.session import record_http
    from runtime.errors import UsageError

    if _records_with_vcrpy(request):
        refuse_vcr(request.node.nodeid)  # before either recorder opens, so that it is the test's only error
    marker = request.node.get_closest_marker(MARKER)
    settings: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    names = () if marker is None else marker.args
    name = settings.pop("name", None) or (names[0] if names else None)
    if len(names) > 1 or not settings.keys() <= {"mode", "redact", "pace", "require_all"}:
        raise UsageError(f"the marker is {HELP}", where=request.node.nodeid)
    mode: Any = settings.pop("mode", None) or "replay"
    path = recording_path(request.config.rootpath, request.node, name)
    if not record and mode == "replay" and not path.exists():
        from harness.errors import CassetteError

        raise CassetteError(
            "there is no such recording",
            where=str(path),
            next_step=f"record it: pytest --golden-mode=record {request.node.nodeid!r}",
        )
    if record:
        mode = "record"
    with record_http(path, mode=mode, **settings) as session:
        yield session


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
    """Return where a test's recording stands: by its name, else by its module and its own name."""
    title = name if name is not None else f"{node.path.stem}/{node.name}"
    clean = "/".join(part for part in _UNSAFE.sub("_", title).split("/") if part not in {"", ".", ".."})
    path = root / FOLDER / clean
    return path if path.suffix == ".jsonl" else path.with_name(f"{path.name}.jsonl")
