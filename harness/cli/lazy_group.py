"""A group of commands that imports a command's file only when the user names that command.

A group is a table with one line for each verb and its help. `--help` prints the table and imports no command, so it
stays fast. The files of the commands may therefore import what they need at their top.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Verb:
    """One line of the table.

    Attributes:
        name: What the user types.
        code: `module:name` below `harness.cli.commands`; the name is a function, or a `typer.Typer`.
        help: First line of the command's own help.
    """

    name: str
    code: str
    help: str

    def load(self) -> Any:
        """Return the command, as click takes it."""
        module_name, _, name = self.code.partition(":")
        command = getattr(importlib.import_module(f"harness.cli.commands.{module_name}"), name)
        if not isinstance(command, typer.Typer):
            app = typer.Typer(rich_markup_mode=None, add_completion=False)
            app.command(self.name)(command)
            command = app
        return typer.main.get_command(command)


class LazyGroup(TyperGroup):
    """A group of the commands in `verbs`, which have the order of the help."""

    verbs: ClassVar[tuple[Verb, ...]] = ()

    def __init__(self, **options: Any) -> None:
        """Make a group; the options are those of typer."""
        super().__init__(**options)
        # Names and help are enough for the listing and for "did you mean".
        self.commands.update({verb.name: TyperCommand(verb.name, help=verb.help) for verb in self.verbs})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return the command of a name; `None` if there is none."""
        return next((verb.load() for verb in self.verbs if verb.name == cmd_name), None)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table ourselves: typer would import each command for its help."""
        limit = formatter.width - 6 - max(map(len, self.commands))
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(limit)) for n, c in self.commands.items()])
