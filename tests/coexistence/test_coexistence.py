"""goldrun beside the libraries of other people's test suites: installed and unused, then used.

The folder `project` is a project of somebody else. It runs in processes of its own, each under a time limit.
"""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.coexistence.projects import run_pytest

LIBRARIES = (
    "anyio",
    "freezegun",
    "pydantic",
    "pytest_asyncio",
    "pytest_httpx",
    "pytest_randomly",
    "pytest_recording",
    "pytest_socket",
    "requests",
    "respx",
    "responses",
    "syrupy",
    "time_machine",
    "trio",
    "vcr",
    "xdist",
)
ABSENT = [name for name in LIBRARIES if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}; see `nox -s coexistence`"
)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"from the server"
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        """Write no log."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}/"
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(Path(__file__).parent / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_installed_and_unused_it_changes_no_outcome(project: Path, server: str) -> None:
    runs = {}
    for name, plugin in (("without", ("-p", "no:goldrun")), ("with", ())):
        done = run_pytest(
            project, "-q", "--snapshot-update", *plugin, "test_unused.py", SERVER=server, OUTCOMES=name
        )
        assert done.returncode == 0, done.stdout + done.stderr
        runs[name] = sorted((project / name).read_text(encoding="utf-8").splitlines())

    assert len(runs["without"]) > 50
    assert runs["with"] == runs["without"]


def test_used_it_nests_with_each_library_in_either_order(project: Path, server: str) -> None:
    recorded = run_pytest(
        project, "-q", "--golden-mode=record", "--snapshot-update", "test_used.py", SERVER=server
    )
    replayed = run_pytest(project, "-q", "-n", "2", "test_used.py", SERVER=server)

    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    files = sorted(p.name for p in (project / "cassettes/http").rglob("*.jsonl"))
    assert {"sync.jsonl", "asyncio.jsonl", "frozen.jsonl"} <= set(files)


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_both_marks_on_one_test_are_refused_with_one_error(project: Path, server: str, mode: str) -> None:
    done = run_pytest(
        project,
        "-q",
        f"--golden-mode={mode}",
        "--record-mode=once",
        "both_marks.py",
        SERVER=server,
        limit_s=60,
    )

    assert done.returncode == 1
    assert "2 errors" in done.stdout, done.stdout
    assert "a cassette of vcrpy and a recording of goldrun are open for the same calls" in done.stdout
