"""The setup of a run: its header, with policy and budget checked before anything is started."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Literal

from runtime.control.rule_paths import unknown_path
from runtime.core.ids import key_root, run_id, seed_of
from runtime.core.messages import user_message
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header, with_hashes
from runtime.entry.agent import Agent
from runtime.entry.policy_check import check_policy
from runtime.entry.pricing import Priced, priced
from runtime.entry.request import Request
from runtime.errors import UsageError
from runtime.execution.clock import new_request_id
from runtime.execution.control_rules import ControlRules
from runtime.orchestrator.model_step import configured_output
from runtime.orchestrator.setup import RunSetup
from runtime.ports.prices import RateSource


def prepare(
    agent: Agent,
    request: Request,
    *,
    prices: RateSource | None = None,
    started_at: str | None = None,
    inputs: Literal["none", "recorded"] = "none",
    rules: ControlRules | None = None,
    draws: bool = False,
) -> RunSetup:
    """Return the setup of a run, its budget and policy checked.

    Args:
        agent: What runs.
        request: Who asks for what; its `request_id` is set.
        prices: Price table; the offline snapshot by default.
        started_at: Wall time, ISO 8601 UTC.
        inputs: Whether further input is asked for after each step.
        rules: Limits across runs that hold for this one; `None` where no control store guards it.
        draws: Whether its calls draw their worst case from a slice that it shares.

    Raises:
        UsageError: If policy or budget hold a wrong value, the policy names a tool or an argument the agent lacks,
            or dollars are limited without a known price or an output limit.
    """
    policy, budget = request.policy or agent.policy, request.budget or agent.budget
    request_id = request.request_id or new_request_id()
    _check_values(agent, policy)
    table = _default_prices() if prices is None else prices
    known = priced(agent, table)
    metered = _check_limits(agent, budget, known, rules, draws=draws)
    header = Header(
        request_id=request_id,
        run_id=run_id(request_id, deploy=request.deploy, source=request.source, repeat=request.repeat),
        parent=request.parent,
        root=request.root,
        tenant=request.tenant,
        environment=request.environment,
        agent=agent.name,
        agent_version=agent.version,
        deploy=request.deploy,
        source=request.source,
        suite=request.suite,
        task=request.task,
        repeat=request.repeat,
        started_at=started_at,
        instructions=agent.instructions,
        input=(user_message(request.prompt),) if isinstance(request.prompt, str) else tuple(request.prompt),
        models=(agent.model, *agent.fallbacks),
        provider=agent.provider,
        parameters=agent.model_parameters,
        tools=tuple(t.decl for t in agent.tools),
        inputs=inputs,
        policy=policy,
        budget=budget,
        model_retry=agent.model_retry,
        tool_retry=agent.tool_retry,
        metered=metered,
        governed=rules is not None,
        seed=seed_of(request_id) if request.seed is None else request.seed,
        price_table=table.id,
        rates=known.rates,
        labels=request.labels,
    )
    return RunSetup(
        header=with_hashes(header),
        tools=agent.specs,
        model_timeout_s=agent.model_timeout_s,
        root_request_id=key_root(request_id, request.root),
    )


def _default_prices() -> RateSource:
    from runtime.models.prices import PriceTable

    return PriceTable.default()


def _check_values(agent: Agent, policy: Policy) -> None:
    check_policy(policy)
    known = {t.name for t in agent.tools}
    named = (
        ("allow", policy.allow or ()),
        ("approve", policy.approve),
        ("arguments", tuple(policy.arguments)),
    )
    for field_name, names in named:
        missing = sorted(set(names) - known)
        if missing:
            raise UsageError(
                f"policy.{field_name} names {missing[0]!r}, which agent {agent.name!r} does not have",
                next_step=f"use one of {', '.join(sorted(known)) or 'no tools'}",
            )
    for tool in agent.tools:
        for rule in policy.arguments.get(tool.name, ()):
            _check_path(tool.name, tool.decl.schema.parameters, rule.path)


def _check_path(tool: str, schema: dict[str, Any], path: str) -> None:
    """Refuse a rule that could never hold for anything: it would let everything pass."""
    lost = unknown_path(schema, path)
    if lost is None:
        return
    place = f"{lost.within!r} of tool {tool!r}" if lost.within else f"tool {tool!r}"
    near = get_close_matches(lost.part, lost.known, n=3) or list(lost.known)
    before = f"{lost.within}." if lost.within else ""
    paths = ", ".join(before + name for name in near)
    raise UsageError(
        f"policy.arguments of tool {tool!r} has the path {path!r}, but {place} has no argument {lost.part!r}",
        next_step=f"use one of {paths}" if paths else "drop the rule",
    )


def _check_limits(
    agent: Agent, budget: Budget, known: Priced, rules: ControlRules | None, *, draws: bool
) -> bool:
    """Refuse a run whose limits could not be kept: those of its own budget, and caps across runs.

    Returns:
        Whether the worst case of each call is reserved without a limit of the run: it draws from a shared slice, or
        caps across runs may hold, since an operator may set some while the run is live.
    """
    caps = () if rules is None else (rules.tenant_day, rules.everything)
    dollars = budget.max_usd_nanos is not None or any(c.nanos is not None for c in caps)
    metered = dollars or budget.max_tokens is not None or any(c.tokens is not None for c in caps)
    whose = (
        "the budget"
        if budget.max_usd_nanos is not None or budget.max_tokens is not None
        else "a cap across runs"
    )
    if dollars and known.unknown:
        model, why = next(iter(known.unknown.items()))
        raise UsageError(
            f"{whose} limits dollars, but the price of model {model!r} is unknown{why}",
            next_step="add it to a price file (PriceTable.default(override=...)) or drop the dollar limit",
        )
    if metered and configured_output(agent.model_parameters) is None:
        raise UsageError(
            f"{whose} limits dollars or tokens, but agent {agent.name!r} sets no output limit",
            next_step="set Agent.max_output_tokens",
        )
    for name in ("n", "best_of"):
        if metered and agent.model_parameters.get(name) not in {None, 1}:
            raise UsageError(
                f"{whose} limits dollars or tokens, but agent {agent.name!r} asks for several replies ({name!r})",
                next_step=f"drop {name!r} from the parameters",
            )
    return configured_output(agent.model_parameters) is not None and (draws or rules is not None)
