"""The JSON Schema of golden task files for editors, with a description for every field.

`docs/golden-task.schema.json` is this schema; `python -m harness.golden.editor_schema FILE` writes it anew. Put
`# yaml-language-server: $schema=PATH` on the first line of a task file, and an editor completes and explains it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.golden.task import GoldenTask

_CALL = {
    "tool": "Exact name of the tool.",
    "args": "Expected arguments by name; what is not named is not looked at. A value is compared exactly, or is a"
    " matcher such as {regex: ...}. {exact: {...}} allows no other arguments.",
    "status": "What became of the call, or a list of such; any if not given.",
}
_COUNT = "a number, or {min, max}"
NOTES: dict[str, dict[str, str]] = {
    "GoldenTask": {
        "schema": "Version of the file format.",
        "task": "Name of the task, suite/name; unique in the project.",
        "tags": "Marks for `pytest -m`.",
        "agent": "The factory of the agent, module:function; `recorded` replays the cassette alone and checks no code.",
        "input": "What the agent is asked, for whom.",
        "cassette": "Cassette below cassettes/, without its ending; the task's own name by default.",
        "policy": "What the run may do and use, over the agent's own policy and budget.",
        "replay": "How effects are matched with the cassette.",
        "expect": "What must hold of the run; every rule that does not hold is reported.",
        "approvals": "How approvals are answered while the task is recorded, by tool: grant, deny or timeout.",
        "stand_ins": "What answers for tools while the task is recorded, by tool: module:function.",
        "quarantine": "Tolerates a failure of the task until a day.",
    },
    "HttpAgent": {
        "http": "The agent's own function, module:function; its HTTP traffic is answered from the cassette."
    },
    "InputMessage": {"role": "Who says it: system or user.", "content": "The text."},
    "TaskInput": {
        "prompt": "The user's message; or write messages.",
        "messages": "Several messages before the first reply, in place of prompt.",
        "tenant": "Whose run it is; `golden` by default.",
        "environment": "Which world it is in; `test` by default.",
        "request_id": "Request id of the run; made of the task's name by default.",
        "seed": "Seed of the run's waits.",
    },
    "ReplaySpec": {
        "model": "Where model replies come from; a golden task takes recorded ones.",
        "tools": "Where tool results come from; a golden task takes recorded ones.",
        "match": "How much of a call must be as recorded.",
    },
    "MatchSpec": {
        "model": "strict compares the whole request, last_message its last message, position only which call it is."
        " The last two also hide changes of the prompt, of parameters and of tool descriptions.",
        "tools": "How tool calls are matched.",
        "http": "How HTTP requests are matched, for an agent that is called over its recorded traffic.",
    },
    "ToolMatch": {
        "ignore": "Arguments that may differ, like args.request_time; a call must have each of them."
    },
    "Quarantine": {
        "reason": "Why the failure is tolerated.",
        "owner": "Who takes care of it.",
        "until": "The last day on which it is tolerated; after it the task fails again.",
    },
    "PolicySpec": {
        "allow": "Tools the run may call; all of the agent's by default.",
        "approve": "Tools that need a granted approval for each call.",
        "arguments": "Conditions on arguments, by tool.",
        "scopes": "Scopes that the caller holds.",
        "budget": "How much the run may use.",
        "on_denied": "Whether a denied call is told to the model or stops the run.",
        "on_unknown": "Whether a call of an unknown tool is told to the model or stops the run.",
        "on_invalid": "Whether invalid arguments are told to the model or stop the run.",
        "on_failure": "Whether a failed tool is told to the model or stops the run.",
        "max_refusals": "Refused calls in a row after which the run stops.",
        "approval_timeout_s": "Seconds to wait for an answer to an approval.",
        "loop": "When repetition counts as a loop; null for never.",
    },
    "ArgumentSpec": {
        "path": "Path of the argument, like order.id.",
        "one_of": "The values it may have.",
        "pattern": "A regular expression that it must match as a whole.",
        "at_least": "Its least value.",
        "at_most": "Its greatest value.",
        "max_chars": "Its greatest length.",
        "required": "Whether it must be there.",
    },
    "BudgetSpec": {
        "max_steps": "Model decisions.",
        "max_seconds": "Seconds of the whole run.",
        "max_usd": "Dollars.",
        "max_tokens": "Tokens, input and output together.",
        "max_tool_calls": "Tool calls that start.",
        "max_parallel": "Tool calls that run at one time.",
    },
    "LoopSpec": {
        "same_call": "Equal calls in a row that count as a loop.",
        "cycle": "Length of a repeated sequence of calls that counts as a loop.",
        "same_error": "Equal errors in a row that count as a loop.",
        "no_progress": "Steps without a new result that count as a loop.",
        "levelled": "Whether blanks, and what a call said itself, are no difference.",
    },
    "Expect": {
        "stop_reason": "How the run ends: a stop reason, a glob like tool_timeout:*, a list, or {one_of: [...]}.",
        "tools": "The calls the run makes, in one of five modes.",
        "never": "Calls the model must not ask for, whatever becomes of them.",
        "before": "Pairs: the second call starts only after the first started in an earlier turn.",
        "same_turn": "Groups of calls that one turn asks for together.",
        "at_most_once": "Calls whose effect may happen once.",
        "counts": "How many calls, steps, retries, denials and so on there are.",
        "approvals": "Approvals that must have been asked for.",
        "loop_free": "No tool is called three times in a row with equal arguments.",
        "cost": "What the run may cost; an unknown price fails.",
        "tokens": "How many tokens the run may use; unknown usage fails.",
        "output": "What the run's last text says.",
        "trace": "The run is as in the stored baseline trace.",
    },
    "OneOf": {"one_of": "The accepted stop reasons."},
    "Tools": {
        "mode": "exact: these calls in this order, no others. in_order: in this order, others may stand between."
        " any_order: these, in any order, no others. superset: at least these. subset: none but these.",
        "calls": "The expected calls; a plain name means any call of that tool.",
    },
    "CallSpec": _CALL,
    "ExpectedCall": {**_CALL, "times": "How often: a number, [min, max] or {min, max}."},
    "OnceSpec": {
        **_CALL,
        "by": "Arguments that say which calls are the same; the tool's dedupe_by by default. Without either, all calls"
        " of a write tool are the same.",
    },
    "Counts": {
        "tool_calls": f"Calls the model asked for, however they ended: {_COUNT}.",
        "tool_executions": f"Attempts that started, retries included: {_COUNT}.",
        "model_calls": f"Model decisions: {_COUNT}.",
        "steps": f"Steps: {_COUNT}.",
        "retries": f"Attempts after the first: {_COUNT}.",
        "denials": f"Calls that a guard refused: {_COUNT}.",
        "approvals": f"Approvals asked for: {_COUNT}.",
        "errors": f"Calls that ended in an error or timeout: {_COUNT}.",
        "loops": f"Stretches of equal calls: {_COUNT}.",
        "in_doubt": f"Writes of which nobody knows whether they happened: {_COUNT}.",
        "by_tool": f"Calls by tool: {_COUNT} each.",
        "by_status": f"Calls by status: {_COUNT} each.",
    },
    "Range": {"min": "The least number, included.", "max": "The greatest number, included."},
    "ApprovalSpec": {
        "tool": "The tool that was to be approved.",
        "decision": "The answer; any if not given.",
    },
    "Cost": {"max_usd": "The most dollars.", "vs_baseline": "The most in relation to the stored baseline."},
    "VsBaseline": {
        "max_ratio": "The greatest ratio to the baseline's cost.",
        "min_delta_usd": "Dollars above the baseline below which the ratio is not looked at.",
    },
    "Tokens": {
        "input": f"Input tokens, cached ones included: {_COUNT}.",
        "output": f"Output tokens: {_COUNT}.",
        "total": f"Both together: {_COUNT}.",
    },
    "Output": {
        "contains": "Texts that it holds.",
        "not_contains": "Texts that it does not hold.",
        "regex": "Regular expressions that are found in it.",
        "equals": "What it is: a text, or a value that it is as JSON; matchers may stand in it.",
        "json_schema": "A JSON Schema that it keeps as JSON, or the name of a file beside the task.",
    },
}
"""Descriptions by model and field."""


def editor_schema() -> dict[str, Any]:
    """Return the JSON Schema of task files, each field with its description."""
    schema = GoldenTask.model_json_schema(by_alias=True, mode="validation")
    described = {"GoldenTask": schema, **schema["$defs"]}
    for model, part in described.items():
        for name, field in part.get("properties", {}).items():
            field["description"] = NOTES[model][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def editor_schema_text() -> str:
    """Return the schema as the text of its published file."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(editor_schema_text(), encoding="utf-8")
