"""The guards that `nox -s mutants` switches off, each with the tests that must fail then."""

from __future__ import annotations

import msgspec

from runtime.core.effects import Used
from tests import mutant_edits as edit
from tests.mutant_of_caps import CAP_MUTANTS
from tests.mutant_of_state import STATE_MUTANTS
from tests.mutant_of_tools import TOOL_MUTANTS
from tests.mutant_type import Mutant, mutant

_MODES = "tests/runtime/failure_modes"
_STATE = "tests/runtime/state/control"
_GRANTS = "runtime.execution.grants:Grants"
_GOVERNED = "runtime.execution.governed:GovernedPerformer"
_GOVERNOR = "runtime.execution.governor:Governor"
_RUN = "runtime.execution.governor:RunGovernor"
_LEDGER = ("runtime.state.control.sqlite_spend:refuse", "runtime.state.memory_guards:refuse")


def _money(name: str) -> str:
    return f"{_MODES}/test_money.py::test_{name}"


def _writes(name: str) -> str:
    return f"{_MODES}/test_writes.py::test_{name}"


def _tenants(name: str) -> str:
    return f"{_MODES}/test_tenants.py::test_{name}"


def _health(name: str) -> str:
    return f"{_MODES}/test_health.py::test_{name}"


def _people(name: str) -> str:
    return f"{_MODES}/test_people.py::test_{name}"


def _kills(name: str) -> str:
    return f"{_MODES}/test_kills.py::test_{name}"


def _turns(name: str) -> str:
    return f"{_MODES}/test_turns.py::test_{name}"


MUTANTS: dict[str, Mutant] = (
    {
        "ledger_never_refuses": mutant(
            "the ledger refuses what passes a cap",
            _LEDGER,
            edit.returns(None),
            _money("mode_01_processes_never_pass_one_cap_and_nothing_stays_held"),
            _money("the_price_of_a_tool_counts_against_the_tenants_day"),
        ),
        "ledger_forgets": mutant(
            "the ledger counts what is spent and held",
            _LEDGER,
            edit.from_nothing,
            _money("mode_01_processes_never_pass_one_cap_and_nothing_stays_held"),
        ),
        "children_have_their_own_budget": mutant(
            "children draw slices of their parent's budget",
            "runtime.entry.children:narrowed",
            edit.own_budget,
            _money("mode_02_twenty_parallel_children_share_what_is_left_of_the_parents_steps"),
        ),
        "lost_children_are_free": mutant(
            "a child that was cut off is charged with what it held",
            "runtime.entry.children:_held",
            edit.returns(Used()),
            _money("mode_02_a_child_that_is_cut_off_counts_with_all_it_might_have_used"),
        ),
        "children_have_their_own_policy": mutant(
            "a child keeps to its parent's rules",
            "runtime.entry.children:narrowed_policy",
            edit.own_policy,
            _people("a_child_keeps_to_the_approvals_and_argument_rules_of_its_parent"),
        ),
        "output_is_not_clamped": mutant(
            "the output limit is clamped to what is affordable",
            "runtime.core.money:Rate.affordable_output",
            edit.unclamped,
            _money("mode_03_output_is_clamped_to_what_is_left_and_the_ledger_stays_under_the_cap"),
        ),
        "holds_never_expire": mutant(
            "a hold that nobody settles expires to its estimate",
            "runtime.state.control.sqlite_spend:_expire",
            edit.returns(0),
            _money("mode_04_what_a_killed_process_held_becomes_its_estimate_and_its_run_crashed"),
        ),
        "calls_cost_nothing": mutant(
            "a call is settled with what it used",
            f"{_GRANTS}.settle",
            edit.pays_nothing,
            _money("mode_06_missing_usage_is_charged_as_reserved_and_an_explicit_zero_is_kept"),
            _money("mode_07_both_attempts_of_a_fallback_are_charged"),
        ),
        "retry_after_is_slept": mutant(
            "a wait that would pass the deadline ends the run",
            "runtime.orchestrator.model_step:_pause",
            lambda original: edit.no_pause,
            _money("mode_08_a_retry_after_past_the_deadline_is_not_slept"),
        ),
        "refused_calls_keep_what_they_took": mutant(
            "a call that one guard refuses takes nothing from the others",
            "runtime.state.control.sqlite_calls:_leave",
            edit.returns(None),
            _health("mode_36_a_call_that_waits_for_its_rate_holds_nothing_meanwhile"),
            f"{_STATE}/test_calls.py::test_a_call_that_is_refused_leaves_everything_as_it_was",
        ),
        "limits_are_not_kept": mutant(
            "a call ends at its time limit",
            "runtime.execution.live:bounded",
            edit.unbounded,
            _writes("mode_10_a_tool_that_lingers_in_finally_holds_its_slot_but_not_the_run"),
        ),
        "limits_wait_for_the_tool": mutant(
            "a call that swallows its cancellation is abandoned",
            "runtime.execution.live:bounded",
            edit.patient,
            _writes("mode_10_a_tool_that_lingers_in_finally_holds_its_slot_but_not_the_run"),
        ),
        "slots_are_freed_early": mutant(
            "a call that goes on unseen keeps its slot",
            f"{_GRANTS}.settle",
            edit.frees_the_slot,
            _writes("mode_10_a_tool_that_lingers_in_finally_holds_its_slot_but_not_the_run"),
        ),
        "late_outcomes_are_dropped": mutant(
            "a late outcome is kept under its key",
            f"{_GOVERNED}.ended",
            edit.returns(None),
            _writes("mode_11_the_late_outcome_of_a_killed_write_is_kept_under_its_key"),
        ),
        "everything_is_repeatable": mutant(
            "a write whose answer was lost is not repeated",
            ("runtime.orchestrator.tool_step:_repeatable", f"{_GRANTS}.claim"),
            edit.repeats,
            _writes("mode_09_a_lost_answer_of_a_write_stops_in_doubt_after_one_effect"),
        ),
        "claims_always_win": mutant(
            "a write is carried out by the one who wins its claim",
            f"{_GRANTS}.claim",
            edit.answers(verdict="won"),
            _writes("mode_14_the_same_write_planned_again_is_answered_with_the_first_result"),
            _writes("mode_12_a_later_call_of_a_business_key_in_doubt_asks_reconcile_and_does_not_repeat"),
        ),
        "claims_are_not_fenced": mutant(
            "an owner that was replaced says nothing more",
            "runtime.control.claims:end",
            edit.claim_ends_wrong,
            f"{_STATE}/test_contract.py::test_a_paused_owner_cannot_complete_after_another_took_over",
        ),
        "deliveries_are_all_first": mutant(
            "a request id is one run",
            f"{_GOVERNOR}.open_run",
            edit.answers(first=True),
            _writes("mode_13_one_request_id_delivered_to_four_processes_is_one_effect"),
        ),
        "payloads_are_not_compared": mutant(
            "a request id stands for one request",
            "runtime.entry.service:_check_same",
            edit.returns(None),
            _writes("mode_13_the_same_id_for_another_request_is_refused_also_while_the_first_runs"),
        ),
        "keys_have_no_tenant": mutant(
            "every key starts with its tenant",
            ("runtime.control.scopes:scope_key", "runtime.execution.grants:scope_key"),
            edit.one_tenant,
            _tenants("mode_16_limits_of_one_tenant_do_not_hold_another_up"),
            _money("request_ids_of_two_tenants_share_no_reservation"),
        ),
        "clients_are_shared": mutant(
            "each tenant has a client of its own",
            "runtime.state.tools.credentials:ScopedClients.get",
            edit.one_scope,
            _tenants("mode_18_interleaved_runs_of_two_tenants_never_mix_credentials"),
        ),
        "scopes_are_not_checked": mutant(
            "nothing is handed out without a scope",
            "runtime.state.tools.credentials:_scope",
            lambda original: lambda scope: scope,
            _tenants("mode_19_a_bare_thread_has_no_scope_and_is_refused"),
        ),
        "breakers_always_allow": mutant(
            "an open breaker lets one probe through",
            "runtime.control.breaker:ask",
            edit.always_allowed,
            _health("mode_20_one_of_a_hundred_callers_probes_when_the_cooldown_is_over"),
            _health("mode_34_a_jump_of_the_wall_clock_changes_no_lease_and_no_breaker"),
        ),
        "probes_are_not_given_back": mutant(
            "a probe that was cancelled gives its token back",
            f"{_GRANTS}._end",
            edit.keeps_the_probe,
            _health("mode_21_a_cancelled_probe_gives_its_token_to_the_next_caller"),
        ),
        "breakers_know_no_generation": mutant(
            "a result from before the trip changes nothing",
            "runtime.control.breaker:report",
            edit.any_generation,
            _health("mode_22_late_failures_of_calls_from_before_the_trip_change_nothing"),
        ),
        "cancels_trip_breakers": mutant(
            "only failures of the dependency count",
            "runtime.execution.grants:_sample",
            edit.neutral_fails,
            _health("mode_23_calls_that_an_operator_kills_do_not_trip"),
        ),
        "clocks_jump": mutant(
            "control times follow a clock that never goes back",
            f"{_GOVERNOR}.now",
            edit.wall_time,
            _health("mode_34_a_jump_of_the_wall_clock_changes_no_lease_and_no_breaker"),
        ),
        "rates_are_never_reached": mutant(
            "a rate holds in every window",
            "runtime.control.ratelimit:take",
            lambda original: (
                lambda state, rule, **named: original(state, type(rule)(10**6, rule.window_s), **named)
            ),
            _health("mode_36_no_more_than_the_limit_passes_around_a_boundary"),
            _tenants("mode_16_limits_of_one_tenant_do_not_hold_another_up"),
        ),
        "slots_are_never_taken": mutant(
            "a tool has only so many calls at a time",
            "runtime.state.control.sqlite_limits:acquire",
            edit.many_slots,
            _health("mode_37_waiting_for_a_slot_counts_and_is_given_up_early"),
        ),
        "lost_slots_are_ignored": mutant(
            "a call whose slot lapsed is cut off",
            f"{_GRANTS}.renew",
            edit.never_lost,
            _writes("mode_35_a_slot_is_renewed_and_its_loss_cuts_the_call_off"),
        ),
        "slots_are_never_renewed": mutant(
            "a slot is renewed while its call runs",
            f"{_GRANTS}._renewed",
            edit.returns(True),
            _writes("mode_35_a_slot_is_renewed_and_its_loss_cuts_the_call_off[4.0-finish-held0]"),
        ),
        "approvals_never_expire": mutant(
            "an approval is decided in time or not at all",
            "runtime.control.approvals:as_of",
            edit.at_the_start,
            _people("mode_25_an_approval_after_its_time_does_nothing_from_any_process"),
        ),
        "people_are_waited_for_past_the_deadline": mutant(
            "the run's deadline ends the wait for a person",
            f"{_GOVERNED}._ask",
            edit.no_deadline,
            _people("mode_25_the_runs_deadline_ends_the_wait_for_a_person"),
        ),
        "answers_fit_any_arguments": mutant(
            "an answer is for the arguments that were shown",
            "runtime.control.approvals:decide",
            edit.any_arguments,
            _people("mode_26_a_decision_about_other_arguments_changes_nothing"),
        ),
        "approvals_fit_any_call": mutant(
            "an approval is bound to the exact call and policy",
            "runtime.control.approvals:approval_id",
            lambda original: lambda binding: f"appr_{binding.lane}",
            _people("mode_26_what_changed_on_resume_is_asked_again"),
        ),
        "approvals_are_used_again": mutant(
            "an approval is used once",
            (
                "runtime.state.control.sqlite_store:SqliteControlStore.use_approval",
                "runtime.execution.asking:_as_answer",
            ),
            edit.always_granted,
            _people("mode_27_two_workers_that_resume_one_run_use_its_approval_once"),
        ),
        "switches_are_not_read_again": mutant(
            "switches are read again after a person thought, and before a call starts",
            ("runtime.execution.governed:pulled", f"{_RUN}.cause"),
            lambda original: (
                edit.returns(())(original) if original.__name__ == "pulled" else edit.returns(None)(original)
            ),
            _people("mode_28_what_was_switched_off_during_the_wait_is_not_executed"),
        ),
        "calls_are_not_counted": mutant(
            "the number of calls is limited",
            "runtime.orchestrator.tool_step:check_tool_calls",
            edit.returns(None),
            _people("mode_29_a_run_resumed_after_a_crash_keeps_its_counters"),
            _people("mode_29_ten_approvals_under_a_limit_of_three_calls_are_three_writes"),
        ),
        "switches_are_not_read_before_a_call": mutant(
            "switches are read before each call",
            f"{_RUN}.cause",
            edit.returns(None),
            _kills("mode_30_nothing_starts_after_a_kill_and_every_effect_is_accounted"),
            _kills("a_tool_switched_off_between_admission_and_start_is_disabled_and_not_a_bug"),
        ),
        "calls_start_unasked": mutant(
            "switches are read in the very step in which a call starts",
            f"{_GOVERNED}.before",
            edit.returns(None),
            _kills("a_tool_switched_off_between_admission_and_start_is_disabled_and_not_a_bug"),
        ),
        "kills_do_not_interrupt": mutant(
            "a kill cuts off what is under way",
            f"{_RUN}.look",
            edit.returns(None),
            _kills("mode_31_a_model_call_is_cut_by_a_kill_from_another_process"),
        ),
        "stop_reasons_are_overwritten": mutant(
            "a stop reason is set once",
            "runtime.state.control.run_changes:stopped",
            lambda original: (
                lambda found, *, fencing, stop_reason, now: msgspec.structs.replace(
                    found, stop_reason=stop_reason, ended_at=now
                )
            ),
            _kills("mode_32_what_wants_to_stop_a_run_that_is_over_changes_nothing"),
        ),
        "a_store_that_is_away_is_forgiven": mutant(
            "a write needs switches that are fresh, and reads need some that are not stale",
            f"{_GOVERNOR}.board",
            edit.old_board,
            _kills("mode_33_reads_stop_once_the_last_known_switches_are_stale"),
        ),
        "unseen_calls_are_admitted": mutant(
            "nothing that a cap counts is admitted while the store is away",
            f"{_GOVERNED}._needs_no_grant",
            edit.returns(True),
            _kills("mode_33_reads_that_a_cap_counts_are_refused_while_the_store_is_away"),
        ),
        "what_never_began_is_in_doubt": mutant(
            "a write that never began is not in doubt",
            "runtime.execution.governed:_interruption",
            edit.begun,
            _kills("mode_33_a_write_whose_claim_cannot_be_made_is_refused_and_not_in_doubt"),
        ),
        "children_outlive_a_kill": mutant(
            "a switch on a run holds for its children",
            "runtime.control.switches:holds",
            edit.returns(False),
            _kills("mode_45_a_kill_ends_three_levels_of_children_and_leaves_no_task"),
        ),
        "everything_is_allowed": mutant(
            "a policy allows exact names only",
            "runtime.orchestrator.checks:is_allowed",
            edit.returns(True),
            _turns("mode_39_one_denied_call_of_five_leaves_the_order_and_gives_one_stop_reason"),
            f"{_MODES}/test_hijack.py::test_a_hijacked_model_starts_no_disallowed_call_and_no_write_without_approval",
        ),
        "nothing_needs_approval": mutant(
            "a write that needs an approval waits for it",
            "runtime.orchestrator.checks:needs_approval",
            edit.returns(False),
            f"{_MODES}/test_hijack.py::test_a_hijacked_model_starts_no_disallowed_call_and_no_write_without_approval",
            _people("mode_25_an_approval_after_its_time_does_nothing_from_any_process"),
        ),
        "results_are_not_capped": mutant(
            "a result is cut to what a model may see",
            "runtime.entry.wiring:cap_result",
            edit.uncut,
            _turns("mode_40_a_result_of_50_mb_is_kept_as_an_artifact_and_its_head_is_shown"),
        ),
        "events_need_not_be_kept": mutant(
            "a write is not started while its intent cannot be kept",
            ("runtime.observability.backlog:Buffered.take", "runtime.observability.backlog:Buffered.flush"),
            edit.returns(True),
            _turns("mode_42_writes_are_refused_and_reads_are_buffered_while_the_audit_log_fails"),
        ),
        "prices_may_be_unknown": mutant(
            "a dollar limit needs a known price",
            "runtime.entry.prepare:_check_limits",
            edit.returns(None),
            _money("mode_44_a_dollar_limit_on_an_unknown_price_sends_no_request"),
        ),
    }
    | CAP_MUTANTS
    | STATE_MUTANTS
    | TOOL_MUTANTS
)
