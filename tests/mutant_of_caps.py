"""The guards of caps across runs, children and calls under way that `nox -s mutants` switches off."""

from __future__ import annotations

from tests import mutant_edits as edit
from tests.mutant_type import Mutant, mutant

_SPEND = "tests/runtime/failure_modes/test_overspend.py::test_"
_UNDER_WAY = "tests/runtime/failure_modes/test_guards_under_way.py::test_"

CAP_MUTANTS: dict[str, Mutant] = {
    "calls_reserve_nothing_across_runs": mutant(
        "the worst case of each call is held in all scopes",
        "runtime.execution.guarded.admission:_worst",
        edit.reserves_nothing,
        f"{_SPEND}the_tenants_day_holds_for_runs_without_a_limit_of_their_own",
        f"{_SPEND}a_cap_of_each_unit_across_runs_holds_and_names_its_unit",
    ),
    "callers_that_leave_pay_nothing": mutant(
        "a call in flight is paid for when its caller goes away",
        "runtime.execution.guarded.admission:Grants.settle",
        edit.unless_cancelled,
        f"{_SPEND}a_caller_that_goes_away_in_a_model_call_pays_for_it",
    ),
    "impossible_reports_are_believed": mutant(
        "a report that cannot be true does not bound the next request",
        "runtime.orchestrator.progress:_LEAST_TOKENS_PER_KIB",
        lambda _: 0,
        f"{_SPEND}a_report_that_cannot_be_true_does_not_bound_the_next_request",
    ),
    "files_cost_nothing": mutant(
        "a file counts with the most that it can cost",
        "runtime.orchestrator.progress:_IMAGE_TOKENS",
        lambda _: 0,
        f"{_SPEND}a_file_counts_with_the_most_that_it_can_cost[image-50000]",
    ),
    "children_share_their_parents_keys": mutant(
        "equal writes of a run and its children are several writes",
        "runtime.entry.prepare:key_root",
        lambda _: lambda request_id, root: root or request_id,
        f"{_SPEND}equal_writes_of_a_run_and_its_children_are_several_writes",
    ),
    "writes_of_children_are_forgotten": mutant(
        "a write of a child that was cut off leaves its parent in doubt",
        "runtime.execution.live.tool_call:with_children",
        lambda _: lambda call, answer, runs, *, claimed: answer,
        f"{_SPEND}a_write_of_a_child_that_was_cut_off_leaves_its_parent_in_doubt",
        f"{_SPEND}without_claims_a_call_whose_children_wrote_is_not_made_again",
    ),
    "disabled_tools_go_on": mutant(
        "a switch on a tool cuts its call under way",
        "runtime.execution.run_guard:RunGuard._stop_disabled",
        edit.returns(None),
        f"{_UNDER_WAY}disabling_a_tool_cuts_its_call_under_way",
    ),
    "siblings_do_not_wait": mutant(
        "calls of one turn take turns where there are fewer slots",
        "runtime.execution.guarded.admission:Grants._has_slot",
        edit.returns(False),
        f"{_UNDER_WAY}calls_of_one_turn_take_turns_where_there_are_fewer_slots",
    ),
    "slots_of_abandoned_calls_lapse": mutant(
        "an abandoned call keeps its slot after its run",
        "runtime.execution.run_guard:RunGuard.renew_abandoned",
        edit.returns(False),
        f"{_UNDER_WAY}mode_10_an_abandoned_call_keeps_its_slot_after_its_run_however_long_it_takes",
    ),
    "equal_results_are_progress": mutant(
        "searches that find the same again and again are a loop",
        "runtime.control.loops:LoopGuard.gives",
        edit.returns(False),
        f"{_UNDER_WAY}a_run_whose_searches_find_the_same_again_and_again_is_a_loop",
    ),
}
