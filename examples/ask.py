"""Ask an example agent something, live against its scripted model: `python -m examples.ask support "..."`."""

from __future__ import annotations

import argparse
import importlib
import sys

from examples.loopback import loopback_model
from runtime import RunResult, run_agent
from runtime.testing import GrantAll

EXAMPLES = ("support", "oncall")


def ask(example: str, prompt: str, *, approve: bool = False) -> RunResult:
    """Run an example agent on a prompt and return how it ended.

    Args:
        example: One of `EXAMPLES`.
        prompt: The user's text.
        approve: Grant every approval; without it each is denied.
    """
    package = f"examples.{example}"
    agent = importlib.import_module(package).build()
    with loopback_model(package) as model:
        return run_agent(agent, prompt, model=model, desk=GrantAll() if approve else None)


def main(arguments: list[str] | None = None) -> int:
    """Print a run's calls, output and stop reason."""
    parser = argparse.ArgumentParser(prog="python -m examples.ask", description=__doc__)
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("prompt")
    parser.add_argument("--approve", action="store_true", help="grant every approval")
    chosen = parser.parse_args(arguments)
    result = ask(chosen.example, chosen.prompt, approve=chosen.approve)
    lines = [f"{call.name} {call.arguments} -> {call.status}" for call in result.trace.tool_calls]
    lines += [result.output or "(no output)", f"stop reason: {result.stop_reason}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
