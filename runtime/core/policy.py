"""What a run may do and how much of it: policy, budget, retry schedule, loop limits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, get_args

import msgspec

from runtime.core.checking import Problems
from runtime.core.money import usd_to_nanos

OnRefusal = Literal["tell", "stop"]
AnyTool = Literal["any", "reads"]
"""What a policy may say in place of names: each tool of the agent, or each one that does not write."""
Usd = str | int | float | Decimal
"""Dollars as a person writes them: a float is read as its shortest decimal."""
_REFUSALS = get_args(OnRefusal)
_WORDS = get_args(AnyTool)


class LoopLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When repetition counts as a loop; the call that would pass a limit is not started.

    Attributes:
        same_call: Equal consecutive calls (tool and arguments) that may be asked for.
        cycle: Full repetitions of a cycle of 2 to 6 calls that may be asked for.
        same_error: Equal errors of one tool, without a success of it between, that may happen; numbers and what the
            call itself said are left out of the comparison.
        no_progress: Calls of one tool that reads which may give the same result one after another, whatever they ask;
            `None` for any number. It does not hold for a tool declared with `polls=True`.
        levelled: Whether blanks make no difference between two calls or two results, and a result is compared
            without what its own call said: "nothing for v1" and "nothing for v2" are one result.
    """

    same_call: int = 3
    cycle: int = 4
    same_error: int = 5
    no_progress: int | None = 10
    levelled: bool = True

    def __post_init__(self) -> None:
        problems = Problems("LoopLimits")
        problems.whole("same_call", self.same_call, at_least=1)
        problems.whole("cycle", self.cycle, at_least=1)
        problems.whole("same_error", self.same_error, at_least=1)
        problems.whole("no_progress", self.no_progress, at_least=1, optional=True)
        problems.instance("levelled", self.levelled, bool)
        problems.refuse()


class ArgumentRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one argument of a tool may be; all stated conditions must hold.

    Attributes:
        path: Where in the arguments, for example `order.id`; `items.price` is the price of each item.
        one_of: Allowed values.
        pattern: Regular expression in RE2 syntax that the whole text must match.
        at_least: Smallest number.
        at_most: Largest number.
        max_chars: Longest text.
        required: Whether the model must give it; what neither it nor the tool gives breaks no other condition.
    """

    path: str
    one_of: tuple[str | int | float | bool, ...] | None = None
    pattern: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    max_chars: int | None = None
    required: bool = False

    def __post_init__(self) -> None:
        problems = Problems("ArgumentRule")
        problems.text("path", self.path)
        problems.scalars("one_of", self.one_of)
        problems.text("pattern", self.pattern, optional=True)
        problems.number("at_least", self.at_least, optional=True)
        problems.number("at_most", self.at_most, optional=True)
        problems.whole("max_chars", self.max_chars, at_least=0, optional=True)
        problems.instance("required", self.required, bool)
        problems.refuse()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is allowed to do. Names are exact; there are no prefixes or globs.

    Attributes:
        allow: Tools that may be called, those that read too. `"reads"`, the default, allows each tool that does not
            write; `"any"` allows each tool the agent has.
        approve: Tools whose every call needs an approval; it allows them as well.
        arguments: Rules for arguments, by tool; a call that breaks one is denied.
        scopes: What the caller holds; a tool that needs a scope outside it is denied. `None` holds every scope.
        on_denied: What a call outside `allow` does: end the run, or tell the model.
        on_unknown: The same for a tool that does not exist.
        on_invalid: The same for arguments that do not validate.
        on_failure: What a call does whose retries are spent: end the run, or tell the model.
        max_refusals: How many refusals of one kind the model is sent before the run stops.
        approval_timeout_s: Seconds an approval is waited for.
        loop: Loop limits; `None` switches the loop guard off.
    """

    allow: tuple[str, ...] | AnyTool = "reads"
    approve: tuple[str, ...] = ()
    arguments: dict[str, tuple[ArgumentRule, ...]] = {}
    scopes: tuple[str, ...] | None = None
    on_denied: OnRefusal = "tell"
    on_unknown: OnRefusal = "tell"
    on_invalid: OnRefusal = "tell"
    on_failure: OnRefusal = "stop"
    max_refusals: int = 5
    approval_timeout_s: float = 300.0
    loop: LoopLimits | None = msgspec.field(default_factory=LoopLimits)

    def __post_init__(self) -> None:
        problems = Problems("Policy")
        for name in ("allow", "approve", "scopes"):
            given = getattr(self, name)
            if name == "allow" and not isinstance(given, tuple | list):
                if given not in _WORDS:
                    example = f"({given!r},)" if isinstance(given, str) else '("kb.search",)'
                    problems.add(name, given, f'a tuple of names like {example}, "reads" or "any"')
                continue
            names: Any = problems.names(name, given, optional=name == "scopes")
            if type(names) is list:
                # A list is what many write; kept as it is, it could change under the run.
                msgspec.structs.force_setattr(self, name, tuple(names))
        _check_rules(problems, self.arguments)
        for name in ("on_denied", "on_unknown", "on_invalid", "on_failure"):
            problems.one_of(name, getattr(self, name), _REFUSALS)
        problems.whole("max_refusals", self.max_refusals, at_least=0)
        problems.number("approval_timeout_s", self.approval_timeout_s, above=0.0)
        problems.instance("loop", self.loop, LoopLimits, optional=True)
        problems.refuse()


def _check_rules(problems: Problems, arguments: Any) -> None:
    if not isinstance(arguments, dict):
        problems.add("arguments", arguments, "a dict from tool names to tuples of ArgumentRule")
        return
    for tool, rules in arguments.items():
        if not isinstance(tool, str):
            problems.add("arguments", tool, "a tool's name as key")
        if not isinstance(rules, tuple | list) or not all(isinstance(r, ArgumentRule) for r in rules):
            problems.add(f"arguments[{tool!r}]", rules, "a tuple of ArgumentRule")


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Budget:
    """How much a run may use; `None` is no limit. The defaults bound a run that nobody thought about.

    Attributes:
        max_steps: Model decisions.
        max_seconds: Seconds since the run began.
        max_usd: Dollars, exact to a billionth; reserved before each model call, settled after.
        max_tokens: Input and output tokens together.
        max_tool_calls: Calls the model asks for that may start.
        max_parallel: Tool calls of one turn that run at the same time; the others of the turn queue.
    """

    max_steps: int | None
    max_seconds: float | None
    max_usd: Decimal | None
    max_tokens: int | None
    max_tool_calls: int | None
    max_parallel: int | None

    def __init__(
        self,
        *,
        max_steps: int | None = 25,
        max_seconds: float | None = 600.0,
        max_usd: Usd | None = None,
        max_tokens: int | None = None,
        max_tool_calls: int | None = 100,
        max_parallel: int | None = 8,
    ) -> None:
        """Check and keep the limits.

        Args:
            max_steps: Model decisions.
            max_seconds: Seconds since the run began.
            max_usd: Dollars: a decimal string, an int, a `Decimal`, or a float, read as its shortest decimal.
            max_tokens: Input and output tokens together.
            max_tool_calls: Calls the model asks for that may start.
            max_parallel: Tool calls of one turn that run at the same time.

        Raises:
            UsageError: If a limit has the wrong type or can be no limit; names each.
        """
        problems = Problems("Budget")
        problems.whole("max_steps", max_steps, at_least=0, optional=True)
        problems.number("max_seconds", max_seconds, at_least=0.0, optional=True)
        problems.whole("max_tokens", max_tokens, at_least=0, optional=True)
        problems.whole("max_tool_calls", max_tool_calls, at_least=0, optional=True)
        problems.whole("max_parallel", max_parallel, at_least=1, optional=True)
        usd = problems.dollars("max_usd", max_usd)
        problems.refuse()
        keep = object.__setattr__
        keep(self, "max_steps", max_steps)
        keep(self, "max_seconds", None if max_seconds is None else float(max_seconds))
        keep(self, "max_usd", usd)
        keep(self, "max_tokens", max_tokens)
        keep(self, "max_tool_calls", max_tool_calls)
        keep(self, "max_parallel", max_parallel)

    @property
    def max_usd_nanos(self) -> int | None:
        """The dollars as nano-dollars, the unit that everything inside counts in."""
        return None if self.max_usd is None else _nanos(self.max_usd)


@lru_cache(maxsize=1024)
def _nanos(usd: Decimal) -> int:
    """Return dollars as nano-dollars; kept, because a run asks for its one limit twice a step."""
    return usd_to_nanos(usd)


class BudgetSlice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left of a budget for the child runs of one call, in the units that are counted.

    It is stored with each such call. Its defaults are part of that form and never change.
    """

    max_steps: int | None = 25
    max_seconds: float | None = None
    max_usd_nanos: int | None = None
    max_tokens: int | None = None
    max_tool_calls: int | None = None


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How failed calls are repeated; only failures marked retryable are.

    Attributes:
        attempts: Attempts of one call, the first included.
        first_s: Mean-doubling base of the wait before the second attempt, in seconds.
        ceiling_s: Longest wait, in seconds.
        total: Retries of one run together.
        longest_wait_s: Longest wait that the other side may ask for, in seconds; a longer one ends the retries.
    """

    attempts: int = 3
    first_s: float = 0.5
    ceiling_s: float = 20.0
    total: int = 20
    longest_wait_s: float = 3_600.0

    def __post_init__(self) -> None:
        problems = Problems("RetryPolicy")
        problems.whole("attempts", self.attempts, at_least=1)
        problems.number("first_s", self.first_s, at_least=0.0)
        problems.number("ceiling_s", self.ceiling_s, at_least=0.0)
        problems.whole("total", self.total, at_least=0)
        problems.number("longest_wait_s", self.longest_wait_s, at_least=0.0)
        problems.refuse()


NO_RETRY = RetryPolicy(attempts=1, total=0)
