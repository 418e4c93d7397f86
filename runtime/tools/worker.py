"""The process side of process tools: one job on stdin, its result on stdout."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Run the job and print its result; whatever else the function prints goes to stderr."""
    job = json.load(sys.stdin)
    answer_to = os.dup(1)
    os.dup2(2, 1)
    sys.path[:0] = [p for p in job["path"] if p not in sys.path]
    with os.fdopen(answer_to, "w", encoding="utf-8") as file:
        json.dump(_answer(job), file)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    from runtime.tools.tool import Tool, ToolError

    target: Any = importlib.import_module(job["module"])
    for part in job["name"].split("."):
        target = getattr(target, part)
    function = target.function if isinstance(target, Tool) else target
    try:
        result = function(**job["arguments"])
    except Exception as error:  # noqa: BLE001 - the edge where it becomes data for the other process
        return {
            "result": None,
            "error": f"{type(error).__name__}: {error}" if not isinstance(error, ToolError) else str(error),
            "retryable": bool(getattr(error, "retryable", False)),
            "domain": isinstance(error, ToolError),
        }
    return {"result": result, "error": None, "retryable": False, "domain": False}


if __name__ == "__main__":
    main()
