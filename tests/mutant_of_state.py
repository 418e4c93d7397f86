"""The guards of a run's state, scopes and lost answers that `nox -s mutants` switches off."""

from __future__ import annotations

from tests import mutant_edits as edit
from tests.mutant_type import Mutant, mutant

_STATE = "tests/runtime/entry/test_state.py::test_"
_SCOPES = "tests/runtime/orchestrator/test_scopes.py::test_"
_LOST = "tests/runtime/failure_modes/test_lost_answers.py::test_"

STATE_MUTANTS: dict[str, Mutant] = {
    "scopes_are_not_needed": mutant(
        "a tool runs only for whoever holds its scope",
        "runtime.orchestrator.checks:missing_scopes",
        edit.returns(()),
        f"{_SCOPES}a_missing_scope_ends_the_run_where_the_policy_says_so",
        f"{_SCOPES}a_service_gives_a_run_the_scopes_of_its_principal",
    ),
    "children_widen_scopes": mutant(
        "a child run holds no scope that its parent does not",
        "runtime.entry.children:narrowed_scopes",
        edit.returns(None),
        f"{_SCOPES}a_child_holds_no_scope_that_its_parent_does_not",
    ),
    "credentials_are_told": mutant(
        "a credential is taken out of what its call gives back",
        "runtime.state.tools.run_state:literal_forms",
        edit.returns(()),
        f"{_STATE}a_credential_is_in_nothing_that_the_model_or_the_recording_sees",
    ),
    "failed_calls_change_the_scratch": mutant(
        "what a failed call put into the scratch is forgotten",
        "runtime.state.tools.run_state:BoundCall.failed",
        edit.keeps_draft,
        f"{_STATE}a_call_that_fails_leaves_nothing_in_the_scratch",
    ),
    "lost_answers_are_errors": mutant(
        "a write whose connection broke is in doubt",
        "runtime.ports.faults:_LOST",
        lambda _: frozenset(),
        f"{_LOST}mode_09_a_write_whose_connection_broke_stops_in_doubt_after_one_effect",
        f"{_LOST}mode_12_a_write_whose_answer_was_lost_is_asked_about_at_once",
    ),
    "exceptions_mean_that_nothing_happened": mutant(
        "an exception of a write leaves its business key in doubt",
        "runtime.execution.grants:never_happened",
        edit.returns(True),
        f"{_LOST}mode_14_an_exception_of_a_write_leaves_its_business_key_in_doubt",
    ),
}
