"""Values that were hidden once in a run, so that each further copy of them is hidden too.

A rule or the name of a field says where a secret stands once; the next message repeats it in prose, in an argument or
in base64. So each hidden value becomes a literal of the run, in all the forms it may be written in.
"""

from __future__ import annotations

import re

from harness.redaction.edits import TextEdit
from harness.redaction.engine import KeywordSet, compile_keywords
from harness.redaction.known import LEAST_CHARS, literal_forms
from runtime.journal.hiding import form_spans

MAX_VALUES = 4096
"""Values that one run remembers; more are hidden where they are recognised, and counted."""
_FEW_FORMS = 64
"""Up to here each form is sought by itself."""
_NUMBER = re.compile(rb"[-+ \d.,:/eEx]+")
_WORDS = re.compile(r"[A-Za-z]+(?:[ _.,:-]+[A-Za-z]+)*[.!?]?")
_LONG_WORD = 20
_MANY_WORDS = 4
_NAME = re.compile(rb'"([A-Za-z_][\w.-]*)"')
_PLACEHOLDERS = (b"$", b"%", b"{", b"<", b"*", b"/", b"./", b"~", b"http://", b"https://")


class SecretMemory:
    """The values of one run that were hidden.

    Attributes:
        forgotten: Values that were not kept, because there were too many.
    """

    def __init__(self) -> None:
        self.forgotten: int = 0
        self._names: dict[bytes, str] = {}
        self._forms: dict[bytes, bytes] = {}
        self._fresh: list[tuple[bytes, bytes]] = []
        self._program: set[bytes] = set()
        self._set: tuple[list[bytes], KeywordSet] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def keep(self, secret: bytes, name: str) -> None:
        """Remember a value under its pseudonym, if it is one that means nothing else elsewhere."""
        if secret in self._names or not is_distinctive(secret):
            return
        if any(secret in word for word in self._program):
            return
        if len(self._names) >= MAX_VALUES:
            self.forgotten += 1
            return
        self._names[secret] = name
        for form, _ in literal_forms([secret.decode()]):
            if form not in self._forms:
                self._forms[form] = name.encode()
                self._fresh.append((form, name.encode()))
        self._set = None

    def spare(self, schemas: bytes) -> None:
        """Keep the names in tool schemas: a value that is part of one is a word of the program."""
        self._program.update(_NAME.findall(schemas))

    def fresh(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return forms and pseudonyms of what was kept since the last call, longer forms first."""
        fresh, self._fresh = self._fresh, []
        return tuple(sorted(fresh, key=lambda item: -len(item[0])))

    def stands_in(self, data: bytes) -> bool:
        """Return whether a remembered value stands in the data in some form."""
        return bool(self._names) and bool(self._found(data))

    def edits(self, data: bytes) -> list[TextEdit]:
        """Return what hides the remembered values of a text, in order."""
        if not self._names:
            return []
        found = sorted(self._found(data), key=lambda form: (-len(form), form))
        forms = [(form, self._forms[form]) for form in found]
        return [TextEdit(start, end, name) for start, end, name in form_spans(data, forms)]

    def _found(self, data: bytes) -> list[bytes]:
        if len(self._forms) <= _FEW_FORMS:
            return [form for form in self._forms if form in data]
        if self._set is None:
            forms = list(self._forms)
            self._set = forms, compile_keywords(forms)
        forms, keywords = self._set
        return [forms[number] for number in keywords.found(data)]


def is_distinctive(secret: bytes) -> bool:
    """Return whether a value can be hidden wherever it stands: long enough, no plain number, no ordinary words."""
    if len(secret) < LEAST_CHARS or _NUMBER.fullmatch(secret) or secret.startswith(_PLACEHOLDERS):
        return False
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return False
    if b"<secret" in secret or len(set(secret)) < 4:
        return False
    if not _WORDS.fullmatch(text):
        return True
    words = re.findall(r"[A-Za-z]+", text)
    plain = all(word.islower() or word.isupper() or word.istitle() for word in words)
    return not plain or len(words) >= _MANY_WORDS or max(map(len, words)) >= _LONG_WORD
