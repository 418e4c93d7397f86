"""The sum of what a provider received never passes a root's cap, whatever happens to the processes of its tree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.runtime.failure_modes.world import tell_reader
from tests.support.money_storm import storm

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


@pytest.mark.parametrize(("seed", "greedy"), [(1, True), (2, False)])
def test_random_trees_under_kills_never_send_more_than_their_cap(
    tmp_path: Path, seed: int, greedy: bool
) -> None:
    result = storm(tmp_path, processes=2, roots=12, seed=seed, greedy=greedy)

    tell_reader(result.figures)
    result.check()
    assert sum(result.meter.received.values()) > 12
