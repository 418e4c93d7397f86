"""Samples of rules, made from their forms: no text that looks like a real secret is stored anywhere.

A form is text with parts in braces, `{class:count}`, such as `ghp_{a:36}`; braces of the text itself are doubled.
"""

from __future__ import annotations

import random
import re
import string

_DIGITS, _LOWER, _UPPER = string.digits, string.ascii_lowercase, string.ascii_uppercase
CLASSES = {
    "d": _DIGITS,
    "l": _LOWER,
    "u": _UPPER,
    "a": _LOWER + _UPPER + _DIGITS,
    "L": _LOWER + _DIGITS,
    "U": _UPPER + _DIGITS,
    "h": "0123456789abcdef",
    "X": "0123456789ABCDEF",
    "w": _LOWER + _UPPER + _DIGITS + "_-",
    "b": _LOWER + _UPPER + _DIGITS + "+/",
    "B": _UPPER + "234567",
    "c": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}
"""Characters of each class; `B` is base32, `c` the alphabet of bech32."""
_PART = re.compile(r"\{\{|\}\}|\{(?P<kind>\w+)(?::(?P<count>\d+))?\}")


def sample(form: str, seed: int = 0) -> str:
    """Return a text of a form; the same seed gives the same text.

    Raises:
        ValueError: If the form names an unknown class.
    """
    chance = random.Random(f"{form}/{seed}")  # noqa: S311 - samples protect nothing

    def part(found: re.Match[str]) -> str:
        kind = found["kind"]
        if kind is None:
            return found[0][0]
        if found["count"] is None:
            return _special(kind, chance)
        if kind not in CLASSES:
            raise ValueError(f"unknown class {kind!r} in the form {form!r}")
        return _characters(CLASSES[kind], int(found["count"]), chance)

    return _PART.sub(part, form)


def _characters(alphabet: str, count: int, chance: random.Random) -> str:
    """Return characters of which the middle ones are a letter and a digit, so that checks for both hold."""
    sample = chance.choices(alphabet, k=count)
    letters = [char for char in alphabet if char.isalpha()]
    digits = [char for char in alphabet if char.isdigit()]
    if count > 3 and letters and digits:
        sample[count // 2 - 1 : count // 2 + 1] = [chance.choice(letters), chance.choice(digits)]
    # Marks at the ends would end a match of a whole word early.
    for at in {0, count - 1}:
        if not sample[at].isalnum():
            sample[at] = chance.choice(letters)
    return "".join(sample)


def _special(kind: str, chance: random.Random) -> str:
    match kind:
        case "uuid":
            return "-".join(_characters(CLASSES["h"], count, chance) for count in (8, 4, 4, 4, 12))
        case "iban":
            account = _characters(_DIGITS, 18, chance)
            return f"DE{98 - int(account + '131400') % 97:02d}{account}"
        case "card":
            digits = [4, *(chance.randrange(10) for _ in range(14))]
            total = sum(digits[1::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[0::2])
            return "".join(map(str, digits)) + str(-total % 10)
        case _:
            raise ValueError(f"unknown part {kind!r}")
