"""Two recorders asked for by marks: refused, whichever of them is set up first."""

from __future__ import annotations

import pytest
from tools import answer  # type: ignore[import-not-found]  # the project's own


@pytest.mark.vcr
@pytest.mark.cassette("both")
def test_both_marks(server: str) -> None:
    assert answer("requests", server) == "from the server"


@pytest.mark.vcr
def test_both_fixtures(server: str, vcr: object, cassette: object) -> None:
    assert answer("requests", server) == "from the server"
