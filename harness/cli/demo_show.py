"""How the demo prints: numbered stages, the commands a user would type, excerpts of their output."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from harness.cli.output import say, wants_colour
from harness.text import safe_line

WIDTH = 110
INDENT = "  "
_BOLD, _CYAN, _GREEN, _RED, _RESET = "\x1b[1m", "\x1b[36m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
_PAINT = {
    "verdict: ok": _GREEN,
    "verdict: failed": _RED,
    "verdict: regressed": _RED,
    "REGRESSED": _RED,
    "cause: ": _RED,
}


class Show:
    """Prints the demo; colours only where stdout is a terminal that takes them."""

    def __init__(self) -> None:
        self._colour = wants_colour()
        self._stage = 0

    def title(self, text: str) -> None:
        """Print the title."""
        say(self._painted(text, _BOLD))

    def stage(self, title: str, *sentences: str) -> None:
        """Begin the next stage."""
        self._stage += 1
        say()
        say(self._painted(f"{self._stage} {title}", _BOLD))
        for sentence in sentences:
            self.text(sentence)

    def text(self, sentence: str) -> None:
        """Print a sentence, wrapped."""
        for line in textwrap.wrap(sentence, WIDTH - len(INDENT), break_on_hyphens=False):
            say(INDENT + line)

    def command(self, line: str) -> None:
        """Print a command as a user would type it."""
        say(INDENT + self._painted(f"$ {line}", _CYAN))

    def output(self, lines: Iterable[str]) -> None:
        """Print output of a command; long lines are wrapped under their own indent."""
        for line in lines:
            for piece in _wrapped(safe_line(line, 400)):
                start = piece.lstrip()
                paint = next((p for mark, p in _PAINT.items() if start.startswith(mark)), "")
                say((INDENT + self._painted(piece, paint)).rstrip())

    def change(self, file: str, before: str, after: str) -> None:
        """Print an edit of one line."""
        self.output([file])
        say(INDENT + self._painted(f"- {before}", _RED))
        say(INDENT + self._painted(f"+ {after}", _GREEN))

    def _painted(self, text: str, paint: str) -> str:
        return f"{paint}{text}{_RESET}" if paint and self._colour else text


def shortened(
    text: str,
    *,
    first: str = "",
    until: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    limit: int = 30,
) -> list[str]:
    """Return the lines of some output that matter, without blank ones.

    Output whose form has changed is shown from its first line on, so nothing is lost but its end.

    Args:
        text: Whole output.
        first: Start of the first line that is shown.
        until: Starts of a later line that ends the excerpt; it is not shown.
        without: Starts of lines that are left out; their indent does not count.
        limit: Most lines.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    begin = next((i for i, line in enumerate(lines) if line.startswith(first)), 0)
    end = next((i for i, line in enumerate(lines) if i > begin and line.startswith(until)), len(lines))
    # An empty tuple begins no line.
    excerpt = [line for line in lines[begin:end] if not line.lstrip().startswith(without)]
    if len(excerpt) <= limit:
        return excerpt
    return [*excerpt[: limit - 1], f"... {len(excerpt) - limit + 1} more lines"]


def _wrapped(line: str) -> list[str]:
    room = WIDTH - len(INDENT)
    if len(line) <= room:
        return [line]
    lead = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line, room, subsequent_indent=f"{lead}  ", break_on_hyphens=False, drop_whitespace=True
    )
