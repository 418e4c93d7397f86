"""Guards of code and recording, compared field by field: policy, budget, retries, tool declarations.

Rules.
1. Every field of these classes has a rule here; a field without one fails a test.
2. A guard that was taken out, loosened, or does something else now is a divergence, whether or not it shows in this
   run: it is what keeps the next run from harm. A guard that was added or made tighter shows where it stops something;
   it is a warning here, as retries are.
3. Stored headers say what a rule that they cannot name means: it was off (`runtime.core.stored_header`). So what an old
   header lacks can be added, and is never loosened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from harness.replay.divergence import EffectDivergence
from runtime.core.run import Header, ToolDecl

GuardCause = Literal["policy", "tool declaration"]
Weaker = Callable[[Any, Any], bool]
"""Whether the second value guards less than the first, or in another way; they differ."""


class GuardChange(msgspec.Struct, frozen=True, kw_only=True):
    """One guard that is not the recorded one.

    Attributes:
        cause: Which part of the agent holds it.
        tool: The tool it is of, if it is of one.
        path: The field.
        recorded: Its recorded value.
        now: Its value now.
        weakened: Whether the run is guarded less than when it was recorded, or in another way.
    """

    cause: GuardCause
    tool: str | None
    path: str
    recorded: Any
    now: Any
    weakened: bool

    @property
    def text(self) -> str:
        """The field with both values: `budget.max_steps 12 -> 50`."""
        return f"{self.path} {_shown(self.recorded)} -> {_shown(self.now)}"


def _higher(recorded: Any, now: Any) -> bool:
    """A limit: none, or a larger one, guards less."""
    return recorded is not None and (now is None or now > recorded)


def _other(recorded: Any, now: Any) -> bool:
    """A choice of which no value guards more: another one is another guard."""
    return True


def _more_names(recorded: Any, now: Any) -> bool:
    """Names that are allowed: more of them, or all of them, guard less."""
    return recorded is not None and (now is None or not set(now) <= set(recorded))


def _wider_allow(recorded: Any, now: Any) -> bool:
    """Tools that are allowed: names, all that read, or any. Names beside `reads` may name a write."""
    if recorded == now or recorded == "any":
        return False
    return isinstance(recorded, str) or isinstance(now, str) or not set(now) <= set(recorded)


def _fewer_names(recorded: Any, now: Any) -> bool:
    """Names that are asked for: one that is missing guards less."""
    return not set(recorded) <= set(now)


def _fewer_rules(recorded: Any, now: Any) -> bool:
    """Rules of arguments, by tool: one that is missing or is another one guards less."""
    return any(rule not in now.get(tool, ()) for tool, rules in recorded.items() for rule in rules)


def _removed(recorded: Any, now: Any) -> bool:
    return recorded is not None and now is None


def _switched_off(recorded: Any, now: Any) -> bool:
    """A guard that is on or off."""
    return bool(recorded) and not now


def _switched_on(recorded: Any, now: Any) -> bool:
    """A mark that takes a tool out of a guard."""
    return bool(now) and not recorded


def _never(recorded: Any, now: Any) -> bool:
    """No guard by itself: it shows in the run where it matters."""
    return False


POLICY: dict[str, Weaker] = {
    "allow": _wider_allow,
    "approve": _fewer_names,
    "arguments": _fewer_rules,
    "scopes": _more_names,
    "on_denied": _other,
    "on_unknown": _other,
    "on_invalid": _other,
    "on_failure": _other,
    "max_refusals": _higher,
    "approval_timeout_s": _higher,
    "loop": _removed,
}
LOOP: dict[str, Weaker] = {
    **dict.fromkeys(("same_call", "cycle", "same_error", "no_progress"), _higher),
    "levelled": _switched_off,
}
BUDGET: dict[str, Weaker] = dict.fromkeys(
    ("max_steps", "max_seconds", "max_usd", "max_tokens", "max_tool_calls", "max_parallel"), _higher
)
RETRY: dict[str, Weaker] = dict.fromkeys(
    ("attempts", "first_s", "ceiling_s", "total", "longest_wait_s"), _never
)
TOOL: dict[str, Weaker] = {
    "schema": _never,  # each request holds it, and is compared
    "write": _other,
    "idempotent": _other,
    "takes_key": _other,
    "timeout_s": _higher,
    "cost_nanousd": _other,
    "children": _other,
    "dedupe_by": _other,
    "dedupe_scope": _other,
    "dedupe_s": _other,
    "scopes": _fewer_names,
    "cache_s": _other,
    "polls": _switched_on,
    "version": _never,
    "max_result_bytes": _never,
}


def guard_changes(recorded: Header, now: Header) -> list[GuardChange]:
    """Return each guard that differs, in the order of the fields; tools that only one side has are left out.

    Args:
        recorded: Header of the recording.
        now: Header that today's code makes.
    """
    found = [*_of_policy(recorded, now)]
    if recorded.tools == "opaque" or now.tools == "opaque":
        return found
    known = {tool.schema.name: tool for tool in recorded.tools}
    for tool in now.tools:
        before = known.get(tool.schema.name)
        if before is not None and before != tool:
            found += _of_tool(before, tool)
    return found


def guard_divergences(changes: list[GuardChange]) -> list[EffectDivergence]:
    """Return a divergence for each part of the agent whose guards were weakened; it names all of them."""
    found = []
    causes: tuple[GuardCause, ...] = ("policy", "tool declaration")
    for cause in causes:
        weakened = [change for change in changes if change.cause == cause and change.weakened]
        if weakened:
            first = weakened[0]
            found.append(
                EffectDivergence(
                    step=None,
                    lane="begin",
                    kind="begin",
                    name=first.tool,
                    verdict="changed",
                    path=", ".join(change.path for change in weakened),
                    cause=cause,
                    recorded=_plain(first.recorded) if len(weakened) == 1 else _values(weakened, "recorded"),
                    replayed=_plain(first.now) if len(weakened) == 1 else _values(weakened, "now"),
                    summary=", ".join(change.text for change in weakened),
                )
            )
    return found


def _values(changes: list[GuardChange], side: str) -> dict[str, Any]:
    return {change.path: _plain(getattr(change, side)) for change in changes}


def _of_policy(recorded: Header, now: Header) -> Iterator[GuardChange]:
    yield from _fields("policy", recorded.policy, now.policy, POLICY, cause="policy")
    if recorded.policy.loop is not None and now.policy.loop is not None:
        yield from _fields("policy.loop", recorded.policy.loop, now.policy.loop, LOOP, cause="policy")
    yield from _fields("budget", recorded.budget, now.budget, BUDGET, cause="policy")
    yield from _fields("model_retry", recorded.model_retry, now.model_retry, RETRY, cause="policy")
    yield from _fields("tool_retry", recorded.tool_retry, now.tool_retry, RETRY, cause="policy")


def _of_tool(recorded: ToolDecl, now: ToolDecl) -> Iterator[GuardChange]:
    name = now.schema.name
    for change in _fields(name, recorded, now, TOOL, cause="tool declaration"):
        is_unused = change.path.startswith(f"{name}.dedupe_") and not recorded.dedupe_by
        if change.path != f"{name}.schema" and not (is_unused and not now.dedupe_by):
            yield msgspec.structs.replace(change, tool=name)


def _fields(
    part: str, recorded: Any, now: Any, rules: dict[str, Weaker], *, cause: GuardCause
) -> Iterator[GuardChange]:
    for field, weaker in rules.items():
        before, after = getattr(recorded, field), getattr(now, field)
        if before == after or (part == "policy" and field == "loop" and None not in (before, after)):
            continue
        yield GuardChange(
            cause=cause,
            tool=None,
            path=f"{part}.{field}",
            recorded=before,
            now=after,
            weakened=weaker(before, after),
        )


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool | int | float) or value is None:
        return "none" if value is None else str(value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
