"""What a run may do and how much of it: policy, budget, retry schedule, loop limits."""

from __future__ import annotations

from typing import Literal

import msgspec

OnRefusal = Literal["tell", "stop"]


class LoopLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When repetition counts as a loop; the call that would pass a limit is not started.

    Attributes:
        same_call: Equal consecutive calls (tool and arguments) that may be asked for.
        cycle: Full repetitions of a cycle of 2 to 6 calls that may be asked for.
        same_error: Equal errors of one tool, without a success of it between, that may happen; numbers and what the
            call itself said are left out of the comparison.
        no_progress: Calls of one tool that reads which may give the same result one after another, whatever they ask;
            `None`, the default, for any number: many a tool says no more than "ok".
    """

    same_call: int = 3
    cycle: int = 4
    same_error: int = 5
    no_progress: int | None = None


class ArgumentRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run is allowed to do. Names are exact; there are no prefixes or globs.

    Attributes:
        allow: Tools that may be called; `None` allows each tool the agent has.
        approve: Tools whose every call needs an approval.
        arguments: Rules for arguments, by tool; a call that breaks one is denied.
        scopes: What whoever asks holds; a tool that needs a scope outside it is denied. `None` holds every scope.
        on_denied: What a call outside `allow` does: end the run, or tell the model.
        on_unknown: The same for a tool that does not exist.
        on_invalid: The same for arguments that do not validate.
        on_failure: What a call does whose retries are spent: end the run, or tell the model.
        max_refusals: How many refusals of one kind are told before the run stops all the same.
        approval_timeout_s: Seconds an approval is waited for.
        loop: Loop limits; `None` switches the loop guard off.
    """

    allow: tuple[str, ...] | None = None
    approve: tuple[str, ...] = ()
    arguments: dict[str, tuple[ArgumentRule, ...]] = {}
    scopes: tuple[str, ...] | None = None
    on_denied: OnRefusal = "tell"
    on_unknown: OnRefusal = "tell"
    on_invalid: OnRefusal = "tell"
    on_failure: OnRefusal = "stop"
    max_refusals: int = 5
    approval_timeout_s: float = 300.0
    loop: LoopLimits | None = LoopLimits()


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a run may use; `None` is no limit.

    Attributes:
        max_steps: Model decisions.
        max_seconds: Seconds since the run began.
        max_usd_nanos: Nano-dollars; reserved before each model call, settled after.
        max_tokens: Input and output tokens together.
        max_tool_calls: Calls the model asks for that may start.
    """

    max_steps: int | None = 25
    max_seconds: float | None = None
    max_usd_nanos: int | None = None
    max_tokens: int | None = None
    max_tool_calls: int | None = None


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How failed calls are repeated; only failures marked retryable are.

    Attributes:
        attempts: Attempts of one call, the first included.
        first_s: Mean-doubling base of the wait before the second attempt, in seconds.
        ceiling_s: Longest wait, in seconds.
        total: Retries of one run together.
        longest_wait_s: Longest wait that the other side may ask for, in seconds; one that asks for more is given up.
    """

    attempts: int = 3
    first_s: float = 0.5
    ceiling_s: float = 20.0
    total: int = 20
    longest_wait_s: float = 3_600.0


NO_RETRY = RetryPolicy(attempts=1, total=0)
