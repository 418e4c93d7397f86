"""Checks the words: no private vocabulary in names, docstrings, comments and pages, and no sentence over 40 words.

Names are read from the syntax trees, so ordinary English in a text is no name. Docstrings and comments are searched for
phrases for which the field has its own word: see `PHRASES`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_repository import tracked_files

ROOT = Path(__file__).resolve().parents[1]
MOST_WORDS = 40

NAMES = frozenset(
    {
        "asked",
        "asking",
        "astray",
        "calm",
        "crowd",
        "elsewhere",
        "handed",
        "lingering",
        "lingers",
        "places",
        "told",
        "unheard",
        "unseen",
    }
)
"""Words that say nothing as part of a name: say what the value is (events, ports, approvals, slots)."""

PHRASES = {
    r"(?:un)?told": "reported, sent, shown, called with",
    r"unheard|not heard of|no longer heard of": "no-op; missed its heartbeat",
    r"astray": "unknown path",
    r"lingers?|lingering": "is abandoned and still runs",
    r"given up": "abandoned, timed out",
    r"(?:is|are|was|were|be|been|never) handed(?! over)|handed (?:in|out)": "gets, passed",
    r"whoever": "the caller, anyone who",
    r"for want of": "without",
    r"take note of": "record, count",
    r"unseen": "silently",
    r"(?:person|operator|people|nobody)'s word": "decision",
    r"asking again": "retry",
}
_PHRASE = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PHRASES), re.IGNORECASE)


def modules() -> list[Path]:
    """Return the modules of both packages."""
    return [
        path
        for path in tracked_files(ROOT)
        if (name := path.relative_to(ROOT).as_posix()).endswith(".py")
        and name.startswith(("runtime/", "harness/"))
    ]


def pages() -> list[Path]:
    """Return the pages for users and engineers."""
    return [
        path
        for path in tracked_files(ROOT)
        if (name := path.relative_to(ROOT).as_posix()).endswith(".md")
        and (name.startswith("docs/") or name == "README.md" or name.endswith("DESIGN.md"))
    ]


def private_names(source: str) -> Iterator[str]:
    """Yield `line: name` for each name that is made in a module and holds a private word."""
    if not any(name in source.lower() for name in NAMES):
        return  # parsing is slow, and most modules have none of the words
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case ast.alias(asname=str(name)):
                pass
            case _:
                continue
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
        if NAMES & {word.lower() for word in words}:
            yield f"{getattr(node, 'lineno', 0)}: {name}"


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the docstrings and comments of a module with their first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_text = token.type == tokenize.STRING and token.line.lstrip().startswith(('"""', 'r"""'))
        if token.type == tokenize.COMMENT or is_text:
            yield token.start[0], token.string


def private_phrases(text: str, first: int = 1) -> Iterator[str]:
    """Yield `line: phrase` for each private phrase of a text; code in backticks is passed over."""
    for match in _PHRASE.finditer(re.sub(r"`[^`\n]*`", lambda code: "_" * len(code.group()), text)):
        yield f"{first + text.count(chr(10), 0, match.start())}: {match.group()}"


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences of a Markdown page; a cell of a table and an item of a list stand for themselves."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", page, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", text))
    blocks = [""]
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith(("#", "|")) or re.match(r"(?:[-*]|\d+\.) ", line):
            blocks += line.split("|") if line.startswith("|") else [line]
            if line.startswith(("#", "|")):
                blocks.append("")
        else:
            blocks[-1] = f"{blocks[-1]} {line}"
    for block in blocks:
        yield from re.split(r"(?<=[.!?:;])\s+", block)


def long_sentences(page: str) -> Iterator[str]:
    """Yield `words: sentence` for each sentence that is too long to be read once."""
    for sentence in sentences(page):
        count = len(re.findall(r"\w[\w'’-]*", sentence))
        if count > MOST_WORDS:
            yield f"{count} words: {sentence.strip()[:80]}"


def test_no_name_is_private() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules()
        for line in private_names(path.read_text(encoding="utf-8"))
    ]

    assert found == []


def test_no_file_has_a_private_name() -> None:
    found = [path.name for path in modules() if NAMES & set(path.stem.split("_"))]

    assert found == []


def test_docstrings_and_comments_use_the_words_of_the_field() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{phrase}"
        for path in modules()
        # Splitting into tokens is slow, and most modules have no such phrase even in their code.
        if any(private_phrases(source := path.read_text(encoding="utf-8")))
        for line, text in prose_of(source)
        for phrase in private_phrases(text, line)
    ]

    assert found == []


def test_pages_use_the_words_of_the_field() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{phrase}"
        for path in pages()
        for phrase in private_phrases(path.read_text(encoding="utf-8"))
    ]

    assert found == []


def test_no_sentence_of_a_page_is_over_40_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in pages()
        for line in long_sentences(path.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "told = 1",
        "def _as_told(): ...",
        "class _Told: ...",
        "def f(asked): ...",
        "import a as handed",
        "x.unseen = 2",
    ],
)
def test_a_private_name_is_found(source: str) -> None:
    assert len(list(private_names(source))) == 1


def test_a_used_name_and_an_ordinary_one_are_not_found() -> None:
    assert list(private_names("print(told.asked)\nreplaces = toldo = 1")) == []


@pytest.mark.parametrize("phrase", ["The audit is told.", "It was given\nup.", "Whoever asks."])
def test_a_private_phrase_is_found(phrase: str) -> None:
    assert list(private_phrases(phrase.replace("\n", " "))) != []


def test_code_and_ordinary_words_are_no_private_phrases() -> None:
    assert (
        list(private_phrases("Set `told`; the model asks, a caller hands it over, lists are not foretold."))
        == []
    )


def test_only_docstrings_and_comments_are_prose() -> None:
    source = '"""A door."""\nx = "told"  # told\n'

    assert [text for _, text in prose_of(source)] == ['"""A door."""', "# told"]


def test_a_long_sentence_is_found_in_text_lists_and_tables() -> None:
    long, short = "word " * 41 + "end.", "word " * 39 + "end."

    assert (
        len(
            list(long_sentences(f"# T\n\n{long}\n\n- {long}\n- {short}\n\n| a | {long} |\n| b | {short} |\n"))
        )
        == 3
    )


def test_code_and_several_sentences_are_no_long_sentence() -> None:
    short = "word " * 25 + "end."

    assert list(long_sentences(f"{short} {short}\n\n```text\n{'word ' * 60}\n```\n")) == []
