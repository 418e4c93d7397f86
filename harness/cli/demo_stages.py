"""The work of the demo: make a project in its own folder, and run commands in it."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.sessions.recordings import iter_recordings
from runtime.core.trace import Trace
from runtime.errors import BugError, CheckFailed, UsageError

NEEDED = ("numpy", "pyarrow", "pytest")
SCRIPT = "shop.provider:policy"
SETTINGS = "shop/settings.py"
_GOLDEN = ".golden.yaml"
_TAIL = 1_500
"""Characters shown of the end of a failed command's output."""
_FOREIGN = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTHONSAFEPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One changed line of a deploy."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The result of one run of the golden suite.

    Attributes:
        code: Exit code.
        rows: One row for each task, as `goldrun test --json` prints them.
    """

    code: int
    rows: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """The tasks that failed."""
        return tuple(row for row in self.rows if row["outcome"] != "passed")

    @property
    def causes(self) -> set[str]:
        """The causes of the failures."""
        return {str(row.get("cause")) for row in self.failed}


@dataclass(frozen=True, slots=True)
class DemoProject:
    """The project in its folder.

    Attributes:
        root: The folder, which `create` makes.
    """

    root: Path

    @classmethod
    def create(cls, root: Path) -> DemoProject:
        """Write the project's files into an empty or missing folder.

        Raises:
            UsageError: If the folder is not empty, or the extra `harness` is not installed.
        """
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(
                f"the demo tests and reports, but {', '.join(missing)} cannot be imported",
                next_step="install the test side too: pip install 'goldrun[harness]'",
            )
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(
                f"{str(root)!r} is not an empty folder",
                where="--keep",
                next_step="name a new or empty folder",
            )
        source = importlib.resources.files("harness.cli").joinpath("demo_project")
        for file in source.iterdir():
            if file.name.endswith(".py"):
                _write(root / "shop" / file.name, file.read_bytes())
        for file in source.joinpath("golden").iterdir():
            if file.name.endswith(_GOLDEN):
                _write(root / "golden" / "support" / file.name, file.read_bytes())
        _write(root / "pytest.ini", b"[pytest]\ntestpaths = golden\n")
        (root / "production").mkdir()
        return cls(root)

    @property
    def history(self) -> Path:
        """Folder of the Parquet history."""
        return self.root / "reports" / "history"

    def tasks(self) -> list[str]:
        """Return the golden task files, relative to the folder."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(f"golden/*/*{_GOLDEN}"))

    def change(self, edit: Edit) -> None:
        """Change one line.

        Raises:
            BugError: If the file does not hold the line exactly once.
        """
        path = self.root / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.before) != 1:
            raise BugError(f"the file does not hold {edit.before!r} exactly once", where=edit.file)
        changed_at = path.stat().st_mtime
        path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")
        # Python finds stale bytecode by size and mtime in whole seconds. A quick edit may keep both, so move the mtime.
        os.utime(path, (changed_at + 2, changed_at + 2))

    def record(self) -> str:
        """Record the golden tasks; return the command's output."""
        return self._goldrun("record", *self.tasks(), "--script", SCRIPT, "--allow-writes").stdout

    def pytest(self) -> tuple[int, str]:
        """Run the suite under pytest; return exit code and output."""
        done = self._python("-m", "pytest", "-q", "golden", allowed=(0, 1))
        return done.returncode, done.stdout

    def suite(self) -> Suite:
        """Run the suite on the same engine without pytest.

        Raises:
            CheckFailed: If the command printed no document.
        """
        done = self._goldrun("test", "golden", "--no-pytest", "--json", allowed=(0, 1, 3))
        try:
            rows = tuple(json.loads(done.stdout)["tasks"])
        except (ValueError, KeyError) as error:
            raise CheckFailed(f"goldrun test printed no document: {error}", where=str(self.root)) from error
        return Suite(code=done.returncode, rows=rows)

    def serve(self, deploy: str) -> list[Trace]:
        """Serve the customers of one deploy; return their runs, read from the journal."""
        self._python("-m", "shop.traffic", deploy)
        return [recording.trace() for recording in iter_recordings(self.journal(deploy))]

    def journal(self, deploy: str) -> Path:
        """Return where the runs of a deploy are recorded."""
        return self.root / "production" / f"{deploy}.jsonl"

    def run_of(self, deploy: str, request_id: str) -> Trace:
        """Return one run of a deploy."""
        return next(iter_recordings(f"{self.journal(deploy)}#{request_id}")).trace()

    def _goldrun(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        return self._python("-m", "harness.cli.main", *arguments, allowed=allowed)

    def _python(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder, in a new process that imports the agent's current code."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode not in allowed:
            output = (done.stderr.strip() or done.stdout.strip())[-_TAIL:]
            raise CheckFailed(
                f"`{' '.join(arguments[:4])} ...` ended with exit code {done.returncode}:\n{output}",
                next_step="run the demo with --keep FOLDER and the command in that folder",
            )
        return done


def stop_counts(traces: list[Trace]) -> str:
    """Return the number of runs by stop reason: `finish 4, loop_detected 14`."""
    counts = Counter(trace.stop_reason for trace in traces)
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))


def _environment() -> dict[str, str]:
    """Return the commands' environment: this installation's packages, without settings of other projects."""
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    home = str(Path(__file__).resolve().parents[2])
    path = [home, variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else [home]
    options = ["-p no:cacheprovider"]
    if not importlib.metadata.entry_points(group="pytest11", name="goldrun"):
        options.append("-p harness.plugin")
    return {
        **variables,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUTF8": "1",
        "PYTEST_ADDOPTS": " ".join(options),
        "NO_COLOR": "1",
        "COLUMNS": "90",
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
