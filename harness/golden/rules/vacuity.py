"""Rules that no call could ever meet: unknown tools and arguments, literals of a type the schema does not have.

A rule like `never` holds for every run if it names a tool, an argument or a value that cannot be. So each is
checked against the tool's JSON Schema, taken from the agent and from the recording; one of them is enough, because
a renamed argument is reported as a change of the schema. Names that calls of the run really used are known too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.golden.rules.expect import CallSpec, Expect, OnceSpec
from harness.golden.rules.facts import Facts, Finding, RulePath, suggestion
from harness.golden.rules.matchers import exact_args, matcher_name, shown
from runtime.core.trace import ToolStep

_REFUSED = frozenset({"invalid_arguments", "unknown_tool"})
"""Statuses of calls whose arguments need not fit the schema."""
_TYPES_OF = {"str": "string", "int": "integer", "number": "number", "bool": "boolean", "list": "array",
             "object": "object", "null": "null"}  # fmt: skip
_ALL_TYPES = frozenset(_TYPES_OF.values())


def vacuous(path: RulePath, tool: str, facts: Facts) -> Finding | None:
    """Return what is wrong with a tool name that no call can have; `None` if one can.

    Where the recording does not say which tools there are, a name is wrong if a known one is near it.
    """
    if tool in facts.known_tools:
        return None
    near = suggestion(tool, facts.known_tools)
    if near is None and not facts.all_tools_known:
        return None
    known = ", ".join(sorted(facts.known_tools)) or "none"
    return Finding(
        path=path,
        expected="the name of a tool the agent has",
        actual=f"{tool!r} is not a tool of the agent, so the rule can match nothing; tools are {known}",
        nearest=None if near is None else f"did you mean {near!r}?",
        kind="vacuous",
    )


def vacuous_spec(path: RulePath, spec: CallSpec, facts: Facts) -> list[Finding]:
    """Return why no call can be as a specification says; empty if one can."""
    if (unknown := vacuous(path, spec.tool, facts)) is not None:
        return [unknown]
    found = list(_unknown_arguments(path, spec, facts))
    return found or list(_wrong_literals(path, spec, facts))


def unchecked_names(expect: Expect, facts: Facts) -> tuple[str, ...]:
    """Return tool names that may be misspelled: nothing says which tools there are, and no call has them."""
    if facts.all_tools_known:
        return ()
    return tuple(sorted(set(_names(expect)) - facts.known_tools))


def ignored_nothing(ignore: Iterable[str], calls: Iterable[ToolStep]) -> Iterator[Finding]:
    """Yield each ignored path that no call has: a misspelled one leaves the values compared that it is to leave out."""
    arguments = [call.arguments for call in calls]
    names = {name for given in arguments for name in _keys(given)}
    for index, path in enumerate(ignore):
        parts = path.removeprefix("args.").split(".")
        if any(_has(given, parts) for given in arguments):
            continue
        near = suggestion(parts[0], names)
        yield Finding(
            path=("replay", "match", "tools", "ignore", index),
            expected="the path of an argument that a call has",
            actual=f"no call has {path!r}",
            nearest=None if near is None or near == parts[0] else f"did you mean 'args.{near}'?",
            kind="vacuous",
        )


def _has(value: Any, parts: list[str]) -> bool:
    return not parts or (isinstance(value, dict) and parts[0] in value and _has(value[parts[0]], parts[1:]))


def _names(expect: Expect) -> Iterator[str]:
    specs: list[Iterable[CallSpec]] = [expect.never or (), expect.at_most_once or (), *(expect.before or ())]
    specs += [*(expect.same_turn or ()), () if expect.tools is None else expect.tools.calls]
    yield from (spec.tool for group in specs for spec in group)
    yield from () if expect.counts is None else expect.counts.by_tool
    yield from (rule.tool for rule in expect.approvals or ())


def _unknown_arguments(path: RulePath, spec: CallSpec, facts: Facts) -> Iterator[Finding]:
    schemas = facts.schemas(spec.tool)
    if not schemas or not all(map(_is_closed, schemas)) or set(spec.status or ()) & _REFUSED:
        return
    known = {name for schema in schemas for name in schema["properties"]}
    used = {
        name for call in facts.calls if call.tool.name == spec.tool for name in _keys(call.tool.arguments)
    }
    exact = exact_args(spec.args)
    inside: RulePath = ("args",) if exact is None else ("args", "exact")
    named = [((*inside, name), name) for name in (spec.args if exact is None else exact) or ()]
    if isinstance(spec, OnceSpec):
        named += [(("by", i), name) for i, name in enumerate(spec.by or ())]
    for place, name in named:
        if name in known or name in used:
            continue
        near = suggestion(name, known)
        yield Finding(
            path=(*path, *place),
            expected=f"an argument of {spec.tool}",
            actual=f"{name!r} is not one, so the rule can match nothing; "
            f"arguments are {', '.join(sorted(known)) or 'none'}",
            nearest=None if near is None else f"did you mean {near!r}?",
            kind="vacuous",
        )


def _keys(arguments: Any) -> Iterable[str]:
    return arguments if isinstance(arguments, dict) else ()


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema names all the arguments a call may have.

    Providers send schemas without `additionalProperties: false` too, and models keep to the named arguments.
    """
    extra = schema.get("additionalProperties", False)
    return isinstance(schema.get("properties"), dict) and extra is False and "patternProperties" not in schema


def _wrong_literals(path: RulePath, spec: CallSpec, facts: Facts) -> Iterator[Finding]:
    schemas = facts.schemas(spec.tool)
    if not schemas or set(spec.status or ()) & _REFUSED:
        return
    exact = exact_args(spec.args)
    inside: RulePath = ("args",) if exact is None else ("args", "exact")
    for name, expected in ((spec.args if exact is None else exact) or {}).items():
        about = [(s["properties"][name], s) for s in schemas if name in s.get("properties", {})]
        problems = [_literal_problem(expected, property_, schema) for property_, schema in about]
        if not problems or None in problems or _seen(spec.tool, name, expected, facts):
            continue
        yield Finding(
            path=(*path, *inside, name),
            expected=f"a value that {spec.tool} takes for {name!r}",
            actual=f"{problems[0]}, so the rule can match nothing",
            kind="vacuous",
        )


def _seen(tool: str, name: str, expected: Any, facts: Facts) -> bool:
    """Return whether some call has this very value, whatever the schema says of it."""
    used = [
        c.tool.arguments for c in facts.calls if c.tool.name == tool and isinstance(c.tool.arguments, dict)
    ]
    return any(name in arguments and arguments[name] == expected for arguments in used)


def _literal_problem(expected: Any, property_: Any, root: Mapping[str, Any]) -> str | None:
    """Return why a value of this property is never as expected; `None` if one may be."""
    name = matcher_name(expected)
    operand: Any = expected[name] if name is not None else None
    types = _types(property_)
    match name:
        case None:
            return None if _holds_matcher(expected) else _invalid(expected, property_, root)
        case "equals":
            return _invalid(operand, property_, root)
        case "one_of":
            problems = [_literal_problem(option, property_, root) for option in operand]
            return None if None in problems else problems[0]
        case "not":
            inner = _literal_problem(operand, property_, root)
            return None if inner is None else f"{inner}; `not` of it holds always"
        case "any":
            wanted = _ALL_TYPES if operand is True else {_TYPES_OF[operand]}
        case "regex":
            wanted = {"string"}
        case "approx":
            wanted = {"number"}
        case "between":
            wanted = {"string"} if isinstance(operand[0], str) else {"number"}
        case "len" | "contains":
            wanted = {"string", "array", "object"}
        case _:
            return None
    if types is None or _overlap(frozenset(wanted), types):
        return None
    return f"{name} is for {' or '.join(sorted(wanted))}, and the argument is {' or '.join(sorted(types))}"


def _overlap(wanted: frozenset[str], types: frozenset[str]) -> bool:
    numbers = {"integer", "number"}
    return bool(wanted & types) or bool(wanted & numbers and types & numbers)


def _types(schema: Any) -> frozenset[str] | None:
    """Return the JSON types a schema allows, where it says so itself; `None` where more must be known."""
    if not isinstance(schema, dict) or schema.keys() & {"$ref", "allOf", "oneOf", "not", "if"}:
        return None
    if "anyOf" in schema:
        parts = [_types(part) for part in schema["anyOf"]]
        return None if None in parts else frozenset().union(*(p for p in parts if p is not None))
    if "type" in schema:
        found = schema["type"]
        return frozenset([found] if isinstance(found, str) else found)
    return None


def _holds_matcher(expected: Any) -> bool:
    if matcher_name(expected) is not None:
        return True
    inner = (
        expected.values() if isinstance(expected, dict) else expected if isinstance(expected, list) else ()
    )
    return any(map(_holds_matcher, inner))


def _invalid(value: Any, property_: Any, root: Mapping[str, Any]) -> str | None:
    import jsonschema_rs

    if not isinstance(property_, dict):
        return None
    shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
    try:
        problem = next(iter(jsonschema_rs.validator_for({**property_, **shared}).iter_errors(value)), None)
    except (ValueError, jsonschema_rs.ReferencingError):
        return None  # a wrong schema is the tool's matter
    return None if problem is None else f"{shown(value)} is never valid there ({problem.message})"
