"""The process side of process tools: one job on stdin, the text of its result on stdout."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Run the job and print its answer; whatever else the function prints goes to stderr."""
    job = json.load(sys.stdin)
    answer_to = os.dup(1)
    os.dup2(2, 1)
    sys.path[:0] = [p for p in job["path"] if p not in sys.path]
    with os.fdopen(answer_to, "w", encoding="utf-8") as file:
        json.dump(_answer(job), file)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    from runtime.core.canonical import said
    from runtime.tools.arguments import arguments_model
    from runtime.tools.results import text_of
    from runtime.tools.tool import Tool, ToolError

    target: Any = importlib.import_module(job["module"])
    for part in job["name"].split("."):
        target = getattr(target, part)
    function = target.function if isinstance(target, Tool) else target
    # The function's name may stand for something else by now: its own parameters say what it takes.
    model = arguments_model(function, job["rename"])
    bound = model.model_validate_json(job["given"], strict=True)
    try:
        result = function(**{name: getattr(bound, name) for name in model.model_fields})
    except BaseException as error:  # noqa: BLE001 - the edge where it becomes data for the other process
        domain = isinstance(error, ToolError)
        return {
            "text": None,
            "error": said(error) if domain else f"{type(error).__name__}: {said(error)}",
            "retryable": bool(getattr(error, "retryable", False)),
            "domain": domain,
        }
    return {"text": text_of(result), "error": None, "retryable": False, "domain": False}


if __name__ == "__main__":
    main()
