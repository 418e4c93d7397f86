"""The guards of tools and their arguments that `nox -s mutants` switches off."""

from __future__ import annotations

from tests import mutant_edits as edit
from tests.mutant_type import Mutant, mutant

_TOOL = "tests/runtime/tools/test_tool.py::test_"
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
    "business_keys_are_as_spelt": mutant(
        "a business key is made of what is carried out",
        "runtime.execution.business_keys:_carried_out",
        lambda _: lambda call: call.arguments,
        "tests/runtime/execution/test_business_keys.py::test_defaults_and_equal_numbers_are_one_business_key",
    ),
}
