"""Money over trees of runs in eight processes that are killed and resumed: checked by what a provider received."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.money_storm import storm

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


@pytest.mark.parametrize("greedy", [True, False])
def test_no_tree_sends_more_than_its_cap(
    tmp_path: Path, full: bool, say: Callable[[str], None], greedy: bool
) -> None:
    processes, roots, storms = (8, 160, 3) if full else (2, 8, 1)
    kills = calls = 0

    for seed in range(storms):
        folder = tmp_path / str(seed)
        folder.mkdir()
        result = storm(folder, processes=processes, roots=roots, seed=100 + seed, greedy=greedy)
        say(result.figures)
        result.check()
        kills += result.kills
        calls += sum(result.meter.received.values())

    assert calls > roots
    # A few roots may all be done before the first kill falls.
    assert kills > 0 or not full
