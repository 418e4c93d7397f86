"""Redaction rules as data: shapes of secrets in text, names of fields and headers that hold one.

A shape is a regular expression whose group `secret` (or whole match) is replaced. No shape matches a pseudonym
(`<secret#1>`, `<secret:9f3a>`), so cleaning twice changes nothing. Repetitions are bounded or over one character
class, so that hostile text costs linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one kind of secret looks.

    Attributes:
        name: Name told in messages, never the secret.
        hints: Lower-case pieces of which each match holds one; `in` is far cheaper than the expression.
        pattern: Its expression; the group `secret`, where there is one, is what is replaced.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]

    def is_possible(self, low: str) -> bool:
        """Return whether lower-case text holds one of the hints."""
        return any(map(low.__contains__, self.hints))


def _shape(name: str, hints: str, expression: str) -> Shape:
    return Shape(name=name, hints=tuple(hints.split()), pattern=re.compile(expression))


_EDGE = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
"""No letter before, or an escaped line break: shapes are looked for in encoded text too."""
_NAMES = (
    r"(?:api[_-]?key|access[_-]?key|secret[_-]?key|secret[_-]?access[_-]?key|account[_-]?key|private[_-]?key"
    r"|client[_-]?secret|access[_-]?token|refresh[_-]?token|auth[_-]?token|id[_-]?token|session[_-]?token"
    r"|password|passwd|passphrase)"
)

SHAPES: tuple[Shape, ...] = (
    _shape("anthropic_key", "sk-ant-", _EDGE + r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _shape("openai_key", "sk-", _EDGE + r"sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}"),
    _shape(
        "stripe_key",
        "sk_live_ sk_test_ rk_live_ rk_test_",
        _EDGE + r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
    ),
    _shape("aws_access_key", "akia asia", _EDGE + r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])"),
    _shape(
        "github_token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        _EDGE + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    _shape("slack_token", "xox", _EDGE + r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _shape("google_key", "aiza", _EDGE + r"AIza[0-9A-Za-z_-]{35}"),
    _shape("jwt", ".eyj", _EDGE + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{6,}"),
    _shape(
        "private_key",
        "-----begin",
        r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----"
        r"(?:[\s\S]{0,20000}?-----END [A-Z ]{0,32}PRIVATE KEY-----|(?:\s{0,4}[A-Za-z0-9+/=]{32,})*)",
    ),
    _shape(
        "bearer_token",
        "bearer",
        r"\b[Bb](?i:earer)\s{1,4}(?=[A-Za-z._~+/=-]*\d)(?P<secret>[A-Za-z0-9._~+/=-]{16,})",
    ),
    _shape("basic_credentials", "basic", r"\b[Bb](?i:asic)\s{1,4}(?P<secret>[A-Za-z0-9+/]{8,}={1,2})"),
    _shape(
        "basic_credentials",
        "basic",
        r"(?i:authorization)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?i:basic)\s{1,4}(?P<secret>[A-Za-z0-9+/]{8,})",
    ),
    _shape("url_password", "://", r"://[^\s/:@\"'<>]{0,256}:(?P<secret>[^\s/@\"'<>]{1,256})@"),
)
"""Shapes that are secret wherever they stand; the tripwire looks for these."""

ASSIGNMENTS: tuple[Shape, ...] = (
    _shape(
        "assignment",
        "key token secret passw passphrase",
        rf"(?i:(?<![A-Za-z0-9]){_NAMES}=)[\"']?(?P<secret>[^\s\"'&,;<>(){{}}\[\]]{{6,}})",
    ),
    _shape(
        "field",
        "key token secret passw passphrase",
        rf"(?i:[\"'](?:[a-z0-9]{{1,32}}[_-]){{0,4}}{_NAMES}[\"'])\s{{0,8}}:\s{{0,8}}"
        r"(?:\"(?P<secret>(?:[^\"\\<]|\\.){4,})\"|'(?P<other>(?:[^'\\<]|\\.){4,})')",
    ),
)
"""Text that assigns a value to a field with a secret's name; not in the tripwire, since names are only hints."""

HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-auth-token",
        "x-access-token",
        "x-csrf-token",
        "x-amz-security-token",
        "ocp-apim-subscription-key",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "x-goog-user-project",
    }
)
"""Header names whose values are never written, lower case."""

_FIELD = re.compile(rf"(?:.*[_-])?{_NAMES}|secret|pwd|authorization", re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_secret_field(name: str) -> bool:
    """Return whether text in a field of this name is a secret by its name alone."""
    return len(name) <= 128 and _FIELD.fullmatch(name.strip().replace(" ", "_")) is not None


def is_suspect(low: str) -> bool:
    """Return whether a rule may find something in lower-case text; written out, since it sees each byte."""
    return (
        "pass" in low
        or "://" in low
        or "key" in low
        or "token" in low
        or "secret" in low
        or "sk-" in low
        or "k_live_" in low
        or "k_test_" in low
        or "akia" in low
        or "asia" in low
        or "aiza" in low
        or ".eyj" in low
        or "ghp_" in low
        or "gho_" in low
        or "ghu_" in low
        or "ghs_" in low
        or "ghr_" in low
        or "github_pat_" in low
        or "xox" in low
        or "-----begin" in low
        or "bearer" in low
        or "basic" in low
    )


def may_hold_secret(low: str) -> bool:
    r"""Return whether a rule or a field's name may find something in lower-case JSON text.

    Beside the rules' hints: the names of fields that are secret without one, the letter that case-blind
    expressions take for an `s`, and escaped letters, which may be any.
    """
    return is_suspect(low) or "pwd" in low or "author" in low or "\\u" in low or "\u017f" in low
