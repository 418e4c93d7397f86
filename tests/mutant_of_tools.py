"""The guards of tools and their arguments that `nox -s mutants` switches off."""

from __future__ import annotations

from runtime.core.canonical import canonical_bytes
from runtime.execution.thread_slots import SHARED, RunSlots, SlotPool
from tests import mutant_edits as edit
from tests.mutant_type import Mutant, mutant

_TOOL = "tests/runtime/tools/test_tool.py::test_"
_PROCESS = "tests/runtime/tools/test_processes.py::test_"
_SLOTS = "tests/runtime/execution/test_thread_slots.py::test_"
_OUT = "tests/runtime/entry/test_carried_out.py::test_"

TOOL_MUTANTS: dict[str, Mutant] = {
    "defaults_are_not_seen": mutant(
        "rules and people see the defaults that a call is carried out with",
        "runtime.tools.tool:filled_model",
        lambda _: lambda given, value: given,
        f"{_OUT}a_rule_refuses_a_default_that_breaks_it",
        f"{_OUT}a_person_is_shown_the_defaults_and_the_trace_what_the_model_gave",
        f"{_OUT}an_approval_in_the_store_is_bound_to_the_defaults",
    ),
    "misspelt_rules_pass": mutant(
        "a rule for an argument that a tool cannot have is refused",
        "runtime.entry.prepare:astray",
        edit.returns(None),
        f"{_OUT}a_rule_for_an_argument_that_no_call_can_have_is_refused",
    ),
    "nested_names_are_free": mutant(
        "no object within the arguments has a name that is bound at entry",
        "runtime.tools.arguments:_reserved",
        edit.returns(None),
        f"{_TOOL}names_bound_at_entry_are_refused_within_arguments_too",
    ),
    "exits_end_the_process": mutant(
        "sys.exit() in a tool is a failure of its call",
        "runtime.execution.live.tool_call:failure_of",
        edit.leaves,
        "tests/runtime/execution/test_escapes.py::test_a_tool_that_leaves_does_not_end_another_run",
    ),
    "results_without_json_fail": mutant(
        "a function that returned has had its effect",
        "runtime.tools.tool:text_of",
        lambda _: lambda result: canonical_bytes(result).decode(),
        f"{_TOOL}a_result_without_a_json_form_is_no_failure",
    ),
    "children_of_processes_go_on": mutant(
        "what a process tool started ends with its call",
        "runtime.tools.kinds:_end_group",
        lambda _: lambda process: process.kill() if process.returncode is None else None,
        f"{_PROCESS}what_a_process_started_ends_with_its_cancelled_run",
        f"{_PROCESS}what_a_process_started_ends_at_its_time_limit",
    ),
    "places_are_never_taken": mutant(
        "only so many calls have a thread or a process at once",
        "runtime.execution.live.tool_call:slots_of",
        lambda _: lambda header: RunSlots(SlotPool(10**6), SlotPool(10**6)),
        f"{_SLOTS}a_turn_has_no_more_threads_than_there_are_slots",
        f"{_SLOTS}a_turn_has_no_more_processes_than_there_are_slots",
        f"{_SLOTS}runs_of_other_event_loops_share_the_slots",
    ),
    "runs_wait_for_those_they_serve": mutant(
        "runs within a thread tool have places of their own",
        "runtime.execution.live.tool_call:slots_of",
        lambda _: lambda header: SHARED,
        f"{_SLOTS}child_runs_do_not_wait_for_the_calls_they_serve",
    ),
    "business_keys_are_as_spelt": mutant(
        "a business key is made of what is carried out",
        "runtime.execution.guarded.business_keys:_carried_out",
        lambda _: lambda call: call.arguments,
        "tests/runtime/execution/guarded/test_business_keys.py::test_defaults_and_equal_numbers_are_one_business_key",
    ),
}
