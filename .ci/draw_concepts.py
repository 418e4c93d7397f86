"""Draws the picture "How a run ends" of docs/concepts.md from the table of stop reasons in the code.

`python .ci/draw_concepts.py` rewrites the page; `--check` says whether it is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "concepts.md"
BEGIN, END = (f"<!-- drawn by .ci/draw_concepts.py: {mark} -->\n" for mark in ("begin", "end"))
_LAYOUT = "%%{init: {'flowchart': {'wrappingWidth': 900, 'rankSpacing': 24}}}%%"
_NAMES = {"finish": "finish: the model answered without asking for a tool"}


def picture() -> str:
    """Return the Mermaid block: one box a class, the kinds in it, in the order of precedence."""
    from runtime.core.stop import CLASS_OF, StopKind, StopReason, first_stop

    after_the_run = {StopKind.CRASHED, StopKind.OPEN}
    reasons = [StopReason(kind) for kind in StopKind if kind not in after_the_run]
    ordered: list[StopReason] = []
    while len(ordered) < len(reasons):
        first = first_stop([reason for reason in reasons if reason not in ordered])
        assert first is not None
        ordered.append(first)
    groups: list[tuple[str, list[str]]] = []
    for reason in ordered:
        name = CLASS_OF[reason.kind].value
        if not groups or groups[-1][0] != name:
            groups.append((name, []))
        groups[-1][1].append(reason.kind.value)
    lines = ["```mermaid", _LAYOUT, "flowchart TB"]
    for number, (name, kinds) in enumerate(groups):
        text = _NAMES.get(name, f"{name}: {', '.join(kinds)}")
        lines.append(f'    c{number}["{text}"]')
        if number:
            lines.append(f"    c{number - 1} --> c{number}")
    return "\n".join([*lines, "```", ""])


def drawn(page: str) -> str:
    """Return the page with the picture as the code draws it now."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{picture()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Rewrite the page, or say whether that would change it."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = drawn(page)
    if "--check" in arguments:
        return 0 if page == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
