"""Two recorders asked for by marks: refused, whichever of them is set up first."""

from __future__ import annotations

from importlib import import_module

import pytest

tools = import_module("tools")


@pytest.mark.vcr
@pytest.mark.cassette("both")
def test_both_marks(server: str) -> None:
    assert tools.answer("requests", server) == "from the server"


@pytest.mark.vcr
def test_both_fixtures(server: str, vcr: object, cassette: object) -> None:
    assert tools.answer("requests", server) == "from the server"
