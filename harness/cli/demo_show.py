"""Output of the demo: numbered stages, the commands a user would type, and excerpts of their output."""

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
    """Prints the demo, in colour only if stdout is a terminal that supports it."""

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
        """Print a command's output; long lines are wrapped at their own indent."""
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
    """Return an excerpt of a command's output without blank lines.

    If no line starts with `first`, for example because the output changed, the excerpt begins at the first line.

    Args:
        text: The whole output.
        first: Prefix of the first line of the excerpt.
        until: Prefixes of the line after the last one.
        without: Prefixes of lines to leave out; their indent is ignored.
        limit: Maximum number of lines.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    begin = next((i for i, line in enumerate(lines) if line.startswith(first)), 0)
    end = next((i for i, line in enumerate(lines) if i > begin and line.startswith(until)), len(lines))
    # `startswith` of an empty tuple is false, so no line ends the excerpt or is left out then.
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
