"""The redaction rules: read from one data file, checked, and compiled when they are first needed.

Theory of operation. Almost all text holds no secret, so one expression, the gate, looks at every text first: it
joins the keywords of all rules, the endings of secret names and runs of encoded text into one automaton. What the
gate lets pass is never changed, so each rule must be covered by it: a match of a rule holds one of its keywords
(or fits its `stem`). Only behind the gate are single rules tried, those whose keyword stands in the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from harness.redaction.engine import Finder, KeywordSet, compile_finder, compile_keywords
from harness.redaction.secret_fields import HEADERS, NAME_STEM, is_secret_field
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError

__all__ = ["HEADERS", "Rule", "Ruleset", "is_secret_field", "is_suspect", "load_rules", "ruleset"]

Literals = tuple[tuple[bytes, bytes], ...]
SCHEMA = "goldrun.secret_rules/1"
Need = Literal["digit", "mixed", "name", "assigned", "quoted", "parameter", "luhn", "iban", "phone"]
_EDGE = r"(?:\b|\\(?:[bfnrt]|u[0-9A-Fa-f]{4}))"
"""No letter or digit before, or an escaped control character: rules look at encoded text too."""
_FIELD_GATE = NAME_STEM + r"(?:\\*[\"']|[ ]?[:=])"
_ENCODED_GATE = r"[A-Za-z0-9]{28}"
"""Base64 of a key of 20 characters has 27 or 28; ASCII text encodes to letters and digits almost alone."""
_ENCODED_RUN = r"[A-Za-z0-9+/]{27,}={0,2}"
"""Base64 or hex long enough to say a key of 20 characters."""
_ALWAYS = (r"\\u00[2-7]", r"-----BEGIN")
"""Escaped letters, which may spell any name."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of secret looks.

    Attributes:
        id: Name shown in messages and counts, never the secret.
        description: What it is.
        keywords: Pieces of which each match holds one, case and all.
        pattern: RE2 expression; the groups `secret`, `secret2`, ..., or else all of the match, are replaced. A
            group `name` is the name the value was given.
        positive: Form of a sample, see `harness.redaction.samples`; no sample is stored.
        negative: Form of a sample that nearly fits and is left alone.
        stem: What the gate looks for in place of the keywords, where those are too common or begin no match.
        needs: Checks of what was found that no expression states.
        edge: A match begins at the edge of a word.
        tripwire: Looked for again in what is about to be written; not for hints such as names of fields.
        personal: Personal data, only looked for on request.
        fields: Covered by the gate's endings of secret names.
    """

    id: str
    description: str
    keywords: tuple[str, ...]
    pattern: str
    positive: str = ""
    negative: str = ""
    stem: str | None = None
    needs: tuple[Need, ...] = ()
    edge: bool = True
    tripwire: bool = True
    personal: bool = False
    fields: bool = False

    @property
    def expression(self) -> str:
        """The expression that is compiled."""
        whole = self.pattern if "(?P<secret>" in self.pattern else f"(?P<secret>{self.pattern})"
        return _EDGE + whole if self.edge else whole

    @property
    def gate(self) -> str | None:
        """What the gate looks for; `None` if the endings of names cover it."""
        if self.fields:
            return None
        return self.stem if self.stem is not None else _any(self.keywords)


class _RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule ready to be looked for."""

    rule: Rule
    rank: int
    finder: Finder
    secrets: tuple[int, ...]
    name: int | None


class Ruleset:
    """Rules that are looked for together; immutable, shared by the redactors of all runs.

    Attributes:
        rules: The rules, the more specific ones first.
        literals: Values that are secret by themselves: each form one may be written in, with the value.
    """

    @checks_arguments
    def __init__(
        self, rules: tuple[Rule, ...], *, literals: Literals = (), engine: str | None = None
    ) -> None:
        self.rules = rules
        self.literals = literals
        self._engine = engine
        self._compiled: dict[int, CompiledRule] = {}
        self._ranks: dict[bytes, list[int]] = {}
        for rank, rule in enumerate(rules):
            for keyword in rule.keywords:
                self._ranks.setdefault(keyword.encode(), []).append(rank)
        self._ranks_of = tuple(self._ranks.values())

    @cached_property
    def gate(self) -> Finder:
        """What every text is looked at with first. Internal to goldrun."""
        return self._gate(lambda rule: True, (_FIELD_GATE, _ENCODED_GATE, *_ALWAYS))

    @cached_property
    def keywords(self) -> KeywordSet:
        """All keywords, sought at once: one by one took most of the time of sealing. Internal to goldrun."""
        return compile_keywords(list(self._ranks), engine=self._engine)

    @cached_property
    def runs(self) -> Finder:
        """Runs of encoded text, which may say a secret. Internal to goldrun."""
        return compile_finder(_ENCODED_RUN, where="redaction rules", engine=self._engine)

    @cached_property
    def wire(self) -> Finder:
        """The gate of the tripwire. Internal to goldrun."""
        return self._gate(lambda rule: rule.tripwire, (_ENCODED_GATE,))

    def possible(self, data: bytes, *, tripwire: bool = False) -> list[CompiledRule]:
        """Return the rules whose keywords stand in the data, in order of rank. Internal to goldrun."""
        ranks = {rank for number in self.keywords.found(data) for rank in self._ranks_of[number]}
        return [self._compile(rank) for rank in sorted(ranks) if self.rules[rank].tripwire or not tripwire]

    def _compile(self, rank: int) -> CompiledRule:
        known = self._compiled.get(rank)
        if known is None:
            rule = self.rules[rank]
            finder = compile_finder(rule.expression, where=f"redaction rule {rule.id!r}", engine=self._engine)
            known = self._compiled[rank] = CompiledRule(
                rule=rule,
                rank=rank,
                finder=finder,
                secrets=tuple(n for name, n in finder.groups.items() if name.startswith("secret")),
                name=finder.groups.get("name"),
            )
        return known

    def _gate(self, wanted: Callable[[Rule], bool], always: tuple[str, ...]) -> Finder:
        rules = [rule for rule in self.rules if wanted(rule)]
        edged = {rule.gate for rule in rules if rule.gate and rule.edge and rule.stem is None}
        free = {rule.gate for rule in rules if rule.gate and not (rule.edge and rule.stem is None)}
        literals = [_any((form.decode("latin-1"),)) for form, _ in self.literals]
        parts = [*always, *sorted(free), *literals]
        pattern = f"{_EDGE}(?:{'|'.join(sorted(edged))})|" + "|".join(parts) if edged else "|".join(parts)
        return compile_finder(pattern, where="redaction rules", engine=self._engine)


def load_rules(path: str | Path | None = None) -> tuple[Rule, ...]:
    """Return the rules of a file, or our own.

    Raises:
        UsageError: If the file cannot be read, is no file of rules, or a rule of it is wrong.
    """
    where = "secret_rules.json" if path is None else str(path)
    try:
        if path is None:
            data = files("harness.redaction").joinpath("secret_rules.json").read_bytes()
        else:
            data = Path(path).read_bytes()
        loaded = msgspec.json.decode(data, type=_RuleFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"the redaction rules cannot be read: {error}",
            where=where,
            next_step="see docs/redaction.md for the form of a rule",
        ) from error
    if loaded.schema != SCHEMA:
        raise UsageError(f"the schema is {loaded.schema!r}, not {SCHEMA!r}", where=where)
    if path is not None:
        _check(loaded.rules, where)
    return loaded.rules


@lru_cache(maxsize=64)
def ruleset(
    path: str | None = None,
    *,
    literals: Literals = (),
    personal: bool = False,
    engine: str | None = None,
) -> Ruleset:
    """Return our rules and those of a file, which come first; the same object for the same arguments.

    Raises:
        UsageError: As `load_rules`.
    """
    own = () if path is None else load_rules(path)
    rules = tuple(rule for rule in (*own, *load_rules()) if personal or not rule.personal)
    return Ruleset(rules, literals=literals, engine=engine)


def is_suspect(low: str) -> bool:
    """Return whether a rule may find something in a text whose letters were made small.

    For callers that look at many short texts at once; it says yes more often than a redactor's `suspects`.
    """
    return _blind_gate().test(low.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=1)
def _blind_gate() -> Finder:
    parts = [rule.gate for rule in ruleset().rules if rule.gate]
    return compile_finder(
        f"(?i:{'|'.join([_FIELD_GATE, _ENCODED_GATE, *_ALWAYS, *parts])})", where="redaction rules"
    )


def _check(rules: tuple[Rule, ...], where: str) -> None:
    """Refuse rules that cannot work, all problems of a file at once."""
    problems = []
    ours = {rule.id for rule in load_rules()}
    for rule in rules:
        name = f"rule {rule.id!r}"
        if rule.id in ours:
            problems.append(f"{name}: the id is one of ours")
        if not any(rule.keywords) and rule.stem is None:
            problems.append(f"{name}: it needs a keyword, a piece of text in each match")
        if not (rule.pattern.isascii() and "".join(rule.keywords).isascii()):
            problems.append(f"{name}: pattern and keywords must be ASCII")
            continue
        for text in (rule.expression, rule.gate or "x"):
            try:
                if compile_finder(text, where=name).test(b""):
                    problems.append(f"{name}: it matches empty text")
            except UsageError as error:
                problems.append(f"{name}: {error.what}")
    if problems:
        raise UsageError(
            "; ".join(problems), where=where, next_step="see docs/redaction.md for the form of a rule"
        )


def _any(words: tuple[str, ...]) -> str:
    return "|".join(
        "".join(
            char if char.isascii() and (char.isalnum() or char in "_ /") else f"\\x{ord(char):02x}"
            for char in word
        )
        for word in words
    )
