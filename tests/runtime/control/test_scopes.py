"""Keys of control state: no two scopes share one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.control.scopes import GLOBAL, day_scope, parts_of, run_scope, scope_key

texts = st.text(alphabet="ab/%2F*", max_size=4)
scopes = st.lists(texts, min_size=2, max_size=4).map(tuple)


@given(scopes, scopes)
def test_different_parts_never_make_the_same_key(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    assert (scope_key(*a) == scope_key(*b)) == (a == b)
    assert scope_key(*a) != GLOBAL
    assert parts_of(scope_key(*a)) == a


def test_a_day_is_a_day_of_utc() -> None:
    midnight = 1_795_305_600.0

    assert day_scope("acme", "prod", midnight - 0.001) == "acme/prod/day/2026-11-21"
    assert day_scope("acme", "prod", midnight) == "acme/prod/day/2026-11-22"


def test_a_child_run_has_a_scope_of_its_own() -> None:
    assert run_scope("acme", "prod", "req_1/4.tool0/1") == "acme/prod/run/req_1%2F4.tool0%2F1"
