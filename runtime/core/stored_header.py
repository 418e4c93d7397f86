"""Stored headers of every version become today's `Header`; what a stored header means never changes.

Version 2 writes each field of policy, budget, retry schedules and loop limits; one that lacks a field is damaged.
Version 1 left out what was at its default (`rules_v1` has those defaults), and a rule it cannot name is off. So a
new default of the classes that runs are made with changes no recording.

A field that joins the header or one of these classes later needs a header version of its own, and a word here about
what its absence means in the versions before. So a reader refuses what it does not know in the header, its rules and
its tools: a field says what the run was, and a replay that passed over it would be of another run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.core.rules_v1 import RulesV1, policy_hash
from runtime.core.run import HEADER_VERSION, Header, ToolDecl
from runtime.errors import UsageError

V1_TIMEOUT_S = 30.0
"""Time limit of a tool of version 1 that states none."""

_LOOP_FIELDS = ("same_call", "cycle", "same_error", "no_progress")
_RETRY_FIELDS = ("attempts", "first_s", "ceiling_s", "total", "longest_wait_s")
_POLICY_FIELDS = (
    "allow",
    "approve",
    "arguments",
    "scopes",
    "on_denied",
    "on_unknown",
    "on_invalid",
    "on_failure",
    "max_refusals",
    "approval_timeout_s",
    "loop",
)
_RULE_FIELDS = ("path", "one_of", "pattern", "at_least", "at_most", "max_chars", "required")
_FIELDS = frozenset(Header.__struct_fields__)
_TOOL_FIELDS = frozenset(ToolDecl.__struct_fields__)
_BUDGET_FIELDS = ("max_steps", "max_seconds", "max_usd", "max_tokens", "max_tool_calls", "max_parallel")


def read_header(data: bytes | msgspec.Raw) -> Header:
    """Return the header that the JSON of a journal's first record holds.

    Raises:
        msgspec.DecodeError: If it is no header, or of a version that is not known here.
    """
    plain = msgspec.json.decode(data)
    if not isinstance(plain, dict):
        raise msgspec.ValidationError(f"a header is an object, not {type(plain).__name__}")
    return header_from(plain)


def header_from(plain: dict[str, Any]) -> Header:
    """Return the header of plain JSON values; as `read_header`."""
    version = plain.get("version", 1)
    if version == 1 and version is not True:
        return _first(plain)
    if version != HEADER_VERSION:
        raise msgspec.ValidationError(
            f"the header has version {version!r}; this goldrun reads 1 to {HEADER_VERSION}, so update it"
        )
    _refuse_gaps(plain)
    return _convert(plain)


def stated_policy_hash(plain: dict[str, Any]) -> str:
    """Return the fingerprint that a stored header's policy and budget have."""
    if plain.get("version", 1) == 1:
        return msgspec.convert(plain, RulesV1).policy_hash
    header = header_from(plain)
    return policy_hash(header.policy, header.budget)


def _first(plain: dict[str, Any]) -> Header:
    budget = plain.get("budget")
    if isinstance(budget, dict) and ("max_usd" in budget or "max_parallel" in budget):
        raise msgspec.ValidationError("the header has a budget of version 2 and states no such version")
    try:
        rules = msgspec.convert(plain, RulesV1).current()
    except UsageError as error:
        raise msgspec.ValidationError(str(error)) from error
    tools = plain.get("tools", [])
    if isinstance(tools, list):
        tools = [{"timeout_s": V1_TIMEOUT_S, **t} if isinstance(t, dict) else t for t in tools]
    names = ("policy", "budget", "model_retry", "tool_retry")
    bare = {name: value for name, value in plain.items() if name not in names}
    header = _convert({**bare, "tools": tools, "version": HEADER_VERSION})
    return msgspec.structs.replace(header, **rules)


def _convert(plain: dict[str, Any]) -> Header:
    try:
        return msgspec.convert(plain, Header)
    except UsageError as error:
        raise msgspec.ValidationError(str(error)) from error


def _refuse_gaps(plain: dict[str, Any]) -> None:
    """Refuse a header of version 2 with an unknown field, or without a rule, whose gap today's default would fill."""
    _refuse_unknown("the header", plain, _FIELDS)
    tools = plain.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            _refuse_unknown("a tool of the header", tool, _TOOL_FIELDS)
    _hold(plain, "policy", _POLICY_FIELDS)
    _hold(plain, "budget", _BUDGET_FIELDS)
    _hold(plain, "model_retry", _RETRY_FIELDS)
    _hold(plain, "tool_retry", _RETRY_FIELDS)
    if plain["policy"]["loop"] is not None:
        _hold(plain["policy"], "loop", _LOOP_FIELDS)
    for rules in _members(plain["policy"]["arguments"]):
        for rule in rules if isinstance(rules, list) else ():
            _hold({"argument rule": rule}, "argument rule", _RULE_FIELDS)


def _refuse_unknown(what: str, plain: dict[str, Any], fields: frozenset[str]) -> None:
    unknown = sorted(plain.keys() - fields)
    if unknown:
        raise msgspec.ValidationError(
            f"{what} has {', '.join(unknown)}, unknown in version {HEADER_VERSION}; a newer goldrun may read it"
        )


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _hold(plain: dict[str, Any], name: str, fields: tuple[str, ...]) -> None:
    part = plain.get(name)
    if not isinstance(part, dict):
        raise msgspec.ValidationError(f"the header has no {name}")
    if len(part) == len(fields) and all(map(part.__contains__, fields)):
        return
    missing = [f for f in fields if f not in part]
    if missing:
        raise msgspec.ValidationError(f"the header's {name} lacks {', '.join(missing)}")
    unknown = sorted(part.keys() - set(fields))
    if unknown:
        # A limit that is passed over in silence is no limit.
        raise msgspec.ValidationError(f"the header's {name} has {', '.join(unknown)}, unknown in its version")
