"""Starts a recording in a new interpreter: `goldrun record -- COMMAND` puts this folder first on the path.

The interpreter imports this before the agent's own code. The environment says what to do; see
`harness.wire.command`. A `sitecustomize` of the environment's own runs all the same, after this one.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]


def _guard() -> None:
    """Keep a child process of a replay away from the network."""
    _find_harness()
    try:
        from harness.wire.network_guard import guard_here
    except ImportError as error:
        sys.stderr.write(
            f"goldrun: cannot guard the network in this interpreter ({sys.executable}): {error}\n"
        )
        return
    guard_here(os.environ["GOLDRUN_NETWORK_GUARD"])


def _find_harness() -> None:
    if PathFinder.find_spec("harness") is None:
        sys.path.append(str(_ROOT))


def _start() -> None:
    """Begin to record or replay, or end the process: a replay must never reach the network silently."""
    _find_harness()
    try:
        from harness.wire.command import start_here
    except ImportError as error:
        sys.stderr.write(f"goldrun: cannot record in this interpreter ({sys.executable}): {error}\n")
        if os.environ.get("GOLDRUN_HTTP_MODE") == "replay":
            os._exit(3)
        return
    start_here()


def _run_next() -> None:
    """Run the module that this one stands before."""
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)


if os.environ.get("GOLDRUN_HTTP_RECORDING"):
    _start()
elif "GOLDRUN_NETWORK_GUARD" in os.environ:
    _guard()
_run_next()
