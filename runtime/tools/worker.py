"""The process side of process tools: one job on stdin, the text of its result on stdout."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
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
    from msgspec import to_builtins

    from runtime.core.canonical import said
    from runtime.ports.tool_failures import failure_of
    from runtime.tools.results import text_of
    from runtime.tools.tool import ToolError

    began = False
    try:
        function, arguments = _bound(job)
        began = True
        result = function(**arguments)
    except BaseException as error:  # noqa: BLE001 - the edge where it becomes data for the other process
        if isinstance(error, ToolError) and began:
            return {"text": None, "error": said(error), "failure": None}
        failure = to_builtins(failure_of(error))
        if not began:
            failure |= {"phase": "connect", "retryable": False}
        return {"text": None, "error": None, "failure": failure}
    return {"text": text_of(result), "error": None, "failure": None}


def _bound(job: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function of a job and the arguments it is called with."""
    from runtime.tools.arguments import arguments_model
    from runtime.tools.tool import Tool

    target: Any = importlib.import_module(job["module"])
    for part in job["name"].split("."):
        target = getattr(target, part)
    function = target.function if isinstance(target, Tool) else target
    # The function's name may stand for something else by now: its own parameters say what it takes.
    model = arguments_model(function, job["rename"])
    bound = model.model_validate_json(job["given"], strict=True)
    return function, {name: getattr(bound, name) for name in model.model_fields}


if __name__ == "__main__":
    main()
