"""The tables of commands say what the files of the commands say, and no command is missing from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.commands import ops
from harness.cli.lazy_group import LazyGroup, Verb

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "harness" / "cli" / "commands"
GROUPS: tuple[type[LazyGroup], ...] = (main.Commands, ops.OpsCommands)
VERBS = [verb for group in GROUPS for verb in group.verbs]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_listing_shows_the_first_line_of_each_commands_help(verb: Verb) -> None:
    command = verb.load()

    assert command.help is not None
    assert command.help.strip().splitlines()[0] == verb.help


def test_each_file_of_commands_is_named_by_a_table() -> None:
    files = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.py")}

    named = {verb.code.partition(":")[0].replace(".", "/") for verb in VERBS}

    assert {name for name in files if not name.endswith("__init__")} == named - {"ops"}


def test_an_unknown_command_names_the_nearest_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["repla"]) == 2
    assert "Did you mean 'replay'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["ops", "--help"]])
def test_a_listing_loads_no_command(arguments: list[str]) -> None:
    code = (
        "import sys; from harness.cli.main import run; run(sys.argv[1:]); "
        "print(sorted(n for n in sys.modules if n.startswith('harness.cli.commands.')), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "Commands:" in done.stdout
    assert done.stderr.strip() in {"[]", "['harness.cli.commands.ops']"}
