"""Who acts is what the operating system says."""

from __future__ import annotations

import os
import pwd

import pytest

from harness.cli.operator import operator


def test_an_operator_is_named_by_uid_and_not_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "the-ceo")

    who = operator()

    assert who.name == pwd.getpwuid(os.getuid()).pw_name != "the-ceo"
    assert who.how == f"uid {os.getuid()}"
