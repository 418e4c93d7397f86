"""A caller's mistake is one `UsageError` or `DataError`: every public function and constructor, with wrong values.

The names come from the doors, so a new function is tested as soon as it is public. Each parameter in turn gets values
that it cannot take, the others what they can. A value object may take anything; nothing may raise what is no error of
ours, be a `BugError`, or hang.
"""

from __future__ import annotations

import asyncio
import enum
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from runtime import (
    Agent,
    BugError,
    GoldrunError,
    Request,
    UsageError,
    limit_slots,
    read_policy,
    run_agent,
    tool,
)
from runtime.core.signatures import checks_arguments, fits, words
from runtime.testing import ScriptedModel

DOORS = ("runtime", "runtime.testing", "harness")
READ_ONLY = frozenset({"runtime.Interaction", "runtime.Recording"})
"""What only a reader of journals makes, for each run of a million; users are given these."""


@tool
def look(n: int) -> str:
    return "far"


def subjects() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every public function and class that a caller may call, by name."""
    for door in DOORS:
        module = importlib.import_module(door)
        for name in module.__all__:
            value = getattr(module, name)
            full = f"{door}.{name}"
            if inspect.isclass(value):
                # An enum looks values up, pydantic has errors of its own, and the others check nothing.
                kinds = (enum.Enum, pydantic.BaseModel, BaseException, dict)
                if issubclass(value, kinds) or getattr(value, "_is_protocol", False):
                    continue
            elif not inspect.isfunction(value):
                continue
            if full not in READ_ONLY:
                yield full, value


def wrong_values(folder: Path) -> dict[str, Any]:
    """Return values that hardly any parameter takes, by a name for messages."""
    (folder / "folder").mkdir()
    (folder / "junk").write_bytes(b"\0\xff{")
    return {
        "None": None,
        "text": "nonsense",
        "-1": -1,
        "NaN": float("nan"),
        "True": True,
        "a list": [1],
        "a mapping": {"a": 1},
        "bytes": b"x",
        "an object": object(),
        "a missing file": folder / "no" / "file",
        "a folder": folder / "folder",
        "a damaged file": folder / "junk",
        "a function": lambda *args, **kwargs: None,
    }


def mistake_of(call: Callable[[], Any]) -> str | None:
    """Return what is wrong with how a call ended; `None` if it gave a value or a caller's error."""
    try:
        made = call()
        if inspect.iscoroutine(made):
            made = asyncio.run(asyncio.wait_for(made, 20))
        elif inspect.isgenerator(made):
            next(made, None)
    except BugError as error:
        return f"our bug: {error}"
    except GoldrunError as error:
        return None if error.next_step or error.where or len(error.what) > 20 else f"too short: {error}"
    except Exception as error:  # noqa: BLE001 - whatever else comes is what is looked for
        return f"{type(error).__name__}: {error}"
    if not inspect.isclass(made) and callable(getattr(made, "close", None)):
        made.close()
    died = getattr(made, "error", None)
    return f"a run that died: {died!r}" if isinstance(died, Exception) else None


def mistakes(function: Callable[..., Any], folder: Path) -> list[str]:
    """Return the wrong values that end badly, by parameter."""
    model = ScriptedModel(lambda request: "ok")
    right = {
        "agent": Agent(name="a", model="m", tools=(look,), client=model),
        "prompt": "hi",
        "key": b"k" * 32,
    }
    right |= {"request": Request(prompt="hi"), "path": folder / "run.jsonl", "history": folder / "folder"}
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}
    ]
    found = []
    for name, wrong in wrong_values(folder).items():
        for varied in (p for p in parameters if not p.name.startswith("_")):
            given = {
                p.name: wrong if p is varied else right.get(p.name, "x")
                for p in parameters
                if p is varied or p.default is p.empty
            }
            positional = [
                given.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in given
            ]
            said = mistake_of(lambda p=positional, g=given: function(*p, **g))  # type: ignore[misc]  # bound now
            if said is not None:
                found.append(f"{varied.name}={name}: {said}")
    return found


SUBJECTS = dict(subjects())


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_wrong_value_ends_in_an_error_that_is_not_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a store in memory warns that its key is not shared
        found = mistakes(SUBJECTS[name], tmp_path)

    assert found == []


def test_all_functions_of_the_doors_are_tried() -> None:
    assert {
        "runtime.run_agent",
        "runtime.Agent",
        "runtime.testing.says",
        "harness.replay_run",
    } <= SUBJECTS.keys()
    assert len(SUBJECTS) > 120


def test_a_function_that_trusts_its_caller_is_found(tmp_path: Path) -> None:
    def planted(path: Path) -> bytes:
        return path.read_bytes()

    found = mistakes(planted, tmp_path)

    assert "path=None: AttributeError: 'NoneType' object has no attribute 'read_bytes'" in found
    assert any(line.startswith("path=a missing file: FileNotFoundError") for line in found)


def test_all_wrong_arguments_are_named_at_once_with_the_next_step() -> None:
    with pytest.raises(UsageError) as caught:
        limit_slots(threads="4", processes=True)  # type: ignore[arg-type]  # what is tested

    assert caught.value.what == (
        "threads is '4', not a whole number or None; processes is True, not a whole number or None"
    )
    assert (caught.value.where, caught.value.next_step) == (
        "limit_slots",
        "correct these arguments where it is called",
    )


def test_a_path_of_the_wrong_kind_says_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"path is 3, not .*Path"):
        read_policy(3)  # type: ignore[arg-type]  # what is tested


def test_an_agent_that_is_none_is_refused_before_the_run() -> None:
    with pytest.raises(UsageError, match="agent is 'clerk', not an Agent"):
        run_agent("clerk", "hi")  # type: ignore[arg-type]  # what is tested


def test_arguments_that_fit_no_signature_stay_a_type_error() -> None:
    with pytest.raises(TypeError):
        limit_slots(thread=4)  # type: ignore[call-arg]  # what is tested


class Closes:
    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, True),
        (True, int, False),
        (float("nan"), float, False),
        ("a", list[str], False),
        (("a", 1), tuple[str, ...], False),
        (("a", 1), tuple[str, int], True),
        ({"a": "b"}, dict[str, str], True),
        ({"a": 1}, dict[str, str], False),
        (len, Callable[..., int], True),
        (None, str | None, True),
        (Closes(), Closes, True),
        (int, type[int], True),
    ],
)
def test_a_value_fits_its_annotation_or_not(value: Any, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_what_is_asked_for_is_said_in_words() -> None:
    assert words(str | Path | None) == "text, a Path or None"
    assert words(tuple[str, ...]) == "a list of text"


def test_a_checked_function_keeps_its_name_and_signature() -> None:
    @checks_arguments
    def double(number: int, *more: int, **named: str) -> int:
        """Double it."""
        return number * 2

    assert (double.__name__, double.__doc__, double(2, 3, a="b")) == ("double", "Double it.", 4)
    with pytest.raises(
        UsageError, match=r"more is \(1, 'x'\), not a whole number; named is \{'a': 1\}, not text"
    ):
        double(1, 1, "x", a=1)  # type: ignore[arg-type]  # what is tested
