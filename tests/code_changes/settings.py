"""Changes of retries, limits and guards."""

from __future__ import annotations

from tests.code_changes.change import green, oncall, support

STEPPED = ("flaky_carrier", "injected_result", "late_parcel", "refund_forbidden", "budget_calls")
"""Tasks that take more than two steps under the agent's own limits."""
UNDER_AGENT_BUDGET = (
    "budget_calls", "flaky_carrier", "injected_result", "late_parcel", "refund_forbidden", "unknown_order"
)  # fmt: skip
"""Tasks without steps and dollars of their own."""
BUDGET = 'budget=Budget(max_steps=12, max_seconds=60.0, max_usd="0.05", max_tool_calls=10),'

ONCALL_BUDGET = 'budget=Budget(max_steps=10, max_seconds=60.0, max_usd="0.5", max_tool_calls=20),'

RETRY = "tool_retry=RetryPolicy(attempts=2, first_s=0.02, ceiling_s=0.1),"
RETRIES = [
    support(
        "retries 2 -> 4",
        ("agent", "attempts=2", "attempts=4"),
        red=("flaky_carrier",),
        cause="count",
        line="tool_retry.attempts 2 -> 4",
    ),
    support(
        "no retries",
        ("agent", "attempts=2", "attempts=1"),
        red=("flaky_carrier",),
        cause="count",
        line="tool_retry.attempts 2 -> 1",
    ),
    support(
        "retries by default",
        ("agent", "        " + RETRY + "\n", ""),
        red=("flaky_carrier",),
        cause="retry",
        line="tool_retry.attempts 2 -> 3",
    ),
    oncall(
        "retries 2 -> 3",
        ("agent", "attempts=2", "attempts=3"),
        red=("slow_probe",),
        cause="count",
        line="tool_retry.attempts 2 -> 3",
    ),
    support(
        "longer waits",
        ("agent", "first_s=0.02, ceiling_s=0.1", "first_s=0.5, ceiling_s=2.0"),
        red=("flaky_carrier",),
        cause="retry",
        line="tool_retry.first_s 0.02 -> 0.5",
    ),
    green(
        support(
            "a model retry setting",
            (
                "agent",
                "max_output_tokens=400,",
                "max_output_tokens=400, model_retry=RetryPolicy(attempts=5),",
            ),
        ),
        "no recorded model call failed",
    ),
]
GUARDS = [
    support(
        "approval taken out",
        ("agent", ', approve=("refund.create",)', ""),
        # Two tasks state a policy of their own.
        red=("budget_calls", "flaky_carrier", "late_parcel", "refund_with_approval", "unknown_order"),
        cause="policy",
        line="approve",
    ),
    support(
        "approval added",
        ("agent", 'approve=("refund.create",)', 'approve=("refund.create", "ticket.create")'),
        red=("late_parcel",),
        cause="policy",
        line="an approval of ticket.create is asked for now",
    ),
    support(
        "budget taken out", ("agent", "        " + BUDGET + "\n", ""), cause="policy", line="max_seconds 60"
    ),
    oncall(
        "budget taken out",
        ("agent", "        " + ONCALL_BUDGET + "\n", ""),
        cause="policy",
        line="max_tool_calls",
    ),
    support(
        "budget cut to steps", ("agent", BUDGET, "budget=Budget(max_steps=12),"), cause="policy", line="max_"
    ),
    support(
        "step limit raised",
        ("agent", "max_steps=12", "max_steps=50"),
        red=UNDER_AGENT_BUDGET,
        cause="policy",
        line="max_steps 12 -> 50",
    ),
    support(
        "dollar limit raised",
        ("agent", 'max_usd="0.05"', 'max_usd="5"'),
        red=UNDER_AGENT_BUDGET,
        cause="policy",
        line="max_usd",
    ),
    support(
        "refund is no write any more",
        ("tools", 'name="refund.create", write=True, idempotent=True', 'name="refund.create"'),
        cause="tool declaration",
        line="refund.create.write True -> False",
    ),
    support(
        "ticket is no write any more",
        ("tools", 'name="ticket.create", write=True, idempotent=True', 'name="ticket.create"'),
        cause="tool declaration",
        line="ticket.create.write True -> False",
    ),
    oncall(
        "rollback is no write any more",
        ("tools", 'name="deploy.rollback", write=True, idempotent=True', 'name="deploy.rollback"'),
        cause="tool declaration",
        line="deploy.rollback.write True -> False",
    ),
    support(
        "idempotent taken out",
        ("tools", 'name="refund.create", write=True, idempotent=True', 'name="refund.create", write=True'),
        cause="tool declaration",
        line="refund.create.idempotent",
    ),
    oncall(
        "time limit of a probe",
        ("tools", "PROBE_TIMEOUT_S = 0.05", "PROBE_TIMEOUT_S = 600.0"),
        cause="tool declaration",
        line="probe.run.timeout_s 0.05 -> 600",
    ),
    support(
        "time limit of the carrier",
        ("tools", "timeout_s=5.0", "timeout_s=60.0"),
        cause="tool declaration",
        line="carrier.track.timeout_s 5",
    ),
    support(
        "time limit of the carrier taken out",
        ("tools", "timeout_s=5.0", "timeout_s=None"),
        cause="tool declaration",
        line="carrier.track.timeout_s 5",
    ),
]
LIMITS = [
    support(
        "step limit that binds",
        ("agent", "max_steps=12", "max_steps=2"),
        red=STEPPED,
        cause="budget",
        line="max_steps 12 -> 2",
    ),
    support(
        "call limit that binds",
        ("agent", "max_tool_calls=10", "max_tool_calls=1"),
        red=(*STEPPED[:-1], "refund_with_approval"),
        cause="budget",
        line="max_tool_calls 10 -> 1",
    ),
    oncall(
        "loop limit",
        ("agent", 'approve=("deploy.rollback",)', 'approve=("deploy.rollback",), loop=None'),
        cause="policy",
        line="policy.loop",
    ),
]

MORE_GUARDS = [
    support(
        "a refund is a write of its order",
        (
            "tools",
            'name="refund.create", write=True, idempotent=True',
            'name="refund.create", write=True, idempotent=True, dedupe_by=("order_id",)',
        ),
        cause="tool declaration",
        line="refund.create.dedupe_by",
    ),
    support(
        "a read becomes a write",
        ("tools", 'name="order.lookup"', 'name="order.lookup", write=True, idempotent=True'),
        cause="tool declaration",
        line="order.lookup.write False -> True",
    ),
    oncall(
        "a price for a tool",
        ("tools", 'name="deploy.list"', 'name="deploy.list", cost_usd="0.001"'),
        cause="tool declaration",
        line="deploy.list.cost",
    ),
    oncall(
        "results of a read are kept",
        ("tools", 'name="deploy.list"', 'name="deploy.list", cache_s=60.0'),
        cause="tool declaration",
        line="deploy.list.cache_s",
    ),
    oncall(
        "idempotent taken out",
        (
            "tools",
            'name="deploy.rollback", write=True, idempotent=True',
            'name="deploy.rollback", write=True',
        ),
        cause="tool declaration",
        line="deploy.rollback.idempotent",
    ),
    oncall(
        "approval taken out",
        ("agent", ', approve=("deploy.rollback",)', ""),
        cause="policy",
        line="approve",
    ),
    oncall(
        "seconds raised",
        ("agent", "max_seconds=60.0", "max_seconds=600.0"),
        cause="policy",
        line="max_seconds 60",
    ),
    support(
        "refused calls end the run",
        ("agent", 'approve=("refund.create",)', 'approve=("refund.create",), on_denied="stop"'),
        red=("budget_calls", "flaky_carrier", "late_parcel", "refund_with_approval", "unknown_order"),
        cause="policy",
        line="on_denied",
    ),
    support(
        "failures are told",
        ("agent", 'approve=("refund.create",)', 'approve=("refund.create",), on_failure="tell"'),
        red=tuple(t for t in (*UNDER_AGENT_BUDGET, "refund_with_approval") if t != "flaky_carrier"),
        cause="policy",
        line="on_failure",
    ),
]
