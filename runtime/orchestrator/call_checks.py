"""The pure checks of one tool call, in guard order.

Parse and validate arguments -> exists -> allowed by policy -> loop guard. What passes goes on to the budget of
its turn, approval, admission and the call itself (`tool_step`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.control.permissions import broken_rule, is_allowed, missing_scopes, needs_approval
from runtime.core.canonical import fingerprint
from runtime.core.effects import CallStatus, Refuse
from runtime.core.lanes import lane
from runtime.core.messages import ToolCallPart
from runtime.core.policy import BudgetSlice
from runtime.core.stop import StopKind, StopReason
from runtime.orchestrator.progress import Progress
from runtime.orchestrator.setup import ToolSpec


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a turn on its way through the guards.

    Attributes:
        index: Place in the turn, from 0.
        part: What the model asked for.
        args_hash: Fingerprint of the arguments.
        spec: The tool, `None` if unknown or opaque.
        value: Validated arguments.
        filled: Arguments with the tool's defaults, where they differ from the given ones.
        refusal: Status and words, once a guard refused it.
        key: Idempotency key, for writes.
        content: What the model will see.
        error: What went wrong with it, if anything, as the loop guard compares it.
        child_budget: Slice of the run's budget for its child runs.
    """

    index: int
    part: ToolCallPart
    args_hash: str
    spec: ToolSpec | None = None
    value: Any = None
    filled: Any = None
    refusal: tuple[CallStatus, str, str] | None = None
    key: str | None = None
    content: str = ""
    error: str | None = None
    child_budget: BudgetSlice | None = None

    @property
    def name(self) -> str:
        """The tool's name as the model gave it."""
        return self.part.name

    @property
    def cost_nanos(self) -> int:
        """Price of one attempt, in nano-dollars."""
        return 0 if self.spec is None else self.spec.decl.cost_nanousd

    @property
    def timeout_s(self) -> float | None:
        """Hard limit of one attempt, in seconds."""
        return None if self.spec is None else self.spec.decl.timeout_s

    @property
    def write(self) -> bool:
        """Whether the call has effects outside."""
        return self.spec is not None and self.spec.decl.write

    def refuse(self, status: CallStatus, message: str, rule: str) -> None:
        """Note that a guard refused the call."""
        self.refusal = (status, message, rule)
        self.content = self.error = message


def check_calls(progress: Progress, parts: tuple[ToolCallPart, ...]) -> tuple[list[Call], list[StopReason]]:
    """Return the turn's calls after all pure checks in declared order, and the reasons to stop they raise."""
    calls: list[Call] = []
    stops: list[StopReason] = []
    for index, part in enumerate(parts):
        call = Call(index=index, part=part, args_hash=fingerprint(part.arguments))
        stop = _check(progress, call)
        if stop is not None:
            stops.append(stop)
        if progress.loops.asks(call.name, call.args_hash, part.arguments):
            stops.append(StopReason(StopKind.LOOP_DETECTED))
        calls.append(call)
    return calls, stops


def _check(progress: Progress, call: Call) -> StopReason | None:
    tools = progress.setup.tools
    if tools is None:
        return None
    policy = progress.setup.header.policy
    call.spec = tools.get(call.name)
    if call.spec is None:
        call.refuse("unknown_tool", _unknown(call.name, sorted(tools)), "exists")
        return progress.refuse(StopKind.INVALID_ACTION, None, stop=policy.on_unknown == "stop")
    checked = call.spec.validate(call.part.arguments)
    if checked.problems:
        lines = "\n".join(f"- {p}" for p in checked.problems)
        call.refuse("invalid_arguments", f"Invalid arguments for tool '{call.name}':\n{lines}", "arguments")
        return progress.refuse(StopKind.INVALID_ACTION, None, stop=policy.on_invalid == "stop")
    call.value, call.filled = checked.value, checked.filled
    if not is_allowed(policy, call.name, write=call.write):
        call.refuse("denied", f"Tool '{call.name}' is not allowed by the policy of this run.", "policy")
        return progress.refuse(StopKind.POLICY_DENY, call.name, stop=policy.on_denied == "stop")
    missing = missing_scopes(policy, call.spec.decl.scopes)
    if missing:
        call.refuse("denied", f"Tool '{call.name}' needs the scope {', '.join(missing)}.", "scope")
        return progress.refuse(StopKind.POLICY_DENY, call.name, stop=policy.on_denied == "stop")
    broken = broken_rule(policy, call.name, call.part.arguments, call.filled)
    if broken is not None:
        call.refuse(
            "denied", f"The policy of this run refuses this call of '{call.name}': {broken}.", "argument"
        )
        return progress.refuse(StopKind.POLICY_DENY, call.name, stop=policy.on_denied == "stop")
    return None


def wants_approval(progress: Progress, call: Call) -> bool:
    """Return whether a call that passed the pure checks waits for an approval."""
    return call.refusal is None and needs_approval(progress.setup.header.policy, call.name)


def refusal_effect(progress: Progress, call: Call) -> Refuse:
    """Return the record of a call that a guard refused."""
    status, message, rule = call.refusal or ("not_started", "", "")
    return Refuse(
        lane=lane(progress.step, "tool", index=call.index),
        call_id=call.part.id,
        name=call.name,
        arguments=call.part.arguments,
        args_hash=call.args_hash,
        status=status,
        message=message,
        rule=rule,
        write=call.write,
        filled=call.filled if rule == "argument" else None,
    )


def _unknown(name: str, known: list[str]) -> str:
    return f"There is no tool '{name}'. The tools are: {', '.join(known) or 'none'}."
