"""A project of somebody else: files in a folder, and pytest run there in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0
"""No run takes longer: what hangs is a failure, not a job that the CI kills an hour later."""


def run_pytest(
    folder: Path, *arguments: str, limit_s: float = LIMIT_S, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with the plugins that are installed, goldrun's among them.

    Raises:
        TimeoutExpired: If it takes longer than the limit.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))}
    path = os.pathsep.join([str(ROOT), plain.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**plain, "PYTHONPATH": path, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
