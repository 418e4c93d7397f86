"""Secret-looking names of fields, variables, parameters and headers.

A name is read as words (`clientSecret`, `client-secret` and `CLIENT_SECRET` are the same two), so `max_tokens`,
`token_count` and `secretary` are untouched. Some names are secret whatever the value (`password`); others only
where the value looks like a key (`token`, which also names pages and pieces of text).
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache


def _words(text: str) -> list[str]:
    return text.split()


HEADERS = frozenset(
    _words("""
    authorization proxy-authorization cookie set-cookie x-api-key api-key apikey
    x-goog-api-key x-auth-token x-access-token x-csrf-token x-xsrf-token x-amz-security-token x-api-token
    ocp-apim-subscription-key subscription-key x-functions-key x-rapidapi-key xi-api-key x-subscription-token
    openai-organization openai-project anthropic-organization-id x-goog-user-project x-goog-iam-authorization-token
    x-serverless-authorization x-vault-token x-consul-token private-token job-token x-gitlab-token x-github-token
    x-figma-token x-shopify-access-token x-amz-cf-id-token x-aws-ec2-metadata-token fastly-key dd-api-key
    dd-application-key x-honeycomb-team x-insert-key x-license-key x-hasura-admin-secret x-postmark-server-token
    x-postmark-account-token x-typesense-api-key x-algolia-api-key x-parse-rest-api-key x-parse-master-key
    helicone-auth cf-access-client-secret cf-access-token cf-aig-authorization x-forwarded-access-token x-id-token
    x-hub-signature x-hub-signature-256 stripe-signature x-slack-signature x-twilio-signature
    """)
)
"""Header names whose values are never written, lower case."""

_KEY_OF = _words("""
api access secret private account signing encryption master shared service subscription auth functions function
license webhook ssh deploy admin app application client user storage aws azure gcp openai anthropic server rsa host
""")
_TOKEN_OF = _words("""
access refresh auth id session bearer security csrf xsrf api bot secret private personal oauth jwt github gitlab
slack hf npm pypi vault deploy webhook identity user service
""")
_NOT_TOKEN_OF = frozenset(
    _words("""
    page next prev previous continuation continue sync cursor cancel cancellation pad eos bos sep cls mask unk stop
    start end begin max min count num total input output prompt completion cached reasoning special image text per
    first last top new current delta sampled generated
    """)
)
_HARD = frozenset(
    _words(
        "password passwd passphrase pwd secret apikey authorization accesskey secretkey privatekey clientsecret"
        " accesstoken refreshtoken authtoken sessiontoken idtoken apitoken appsecret"
    )
)
_PLURAL = {
    "passwords": "password",
    "secrets": "secret",
    "tokens": "token",
    "keys": "key",
    "apikeys": "apikey",
    "cookies": "cookie",
}
_CODES = frozenset(_words("otp totp pin cvv cvc cvn passcode mfa"))
_CODE_OF = frozenset(_words("access security recovery backup verification mfa otp pin sms"))
_HARD_ENDS = ("password", "passwd", "passphrase", "apikey", "secretkey")
REPLAY_TOKENS = frozenset(
    _words("signature thoughtSignature thought_signature encrypted_content encryptedContent")
)
"""Fields of what providers want back as it was: no secrets, and a run cannot go on without them."""
_PASS_OF = frozenset(_words("db database user admin root smtp mail ftp ssh login redis pg mysql http proxy"))
_CODE = re.compile(r"[0-9]{3,10}|(?=.*[0-9])[A-Za-z0-9-]{6,}", re.ASCII)
_DASHED = frozenset(name for name in HEADERS if "-" in name)
_PASSWORDS = frozenset({"password", "passwd", "passphrase", "pwd"})
_SOFT = frozenset(
    {"credential", "credentials", "creds", "auth", "signature", "sig", "jwt", "bearer", "cookie"}
)
_AFTER = frozenset({"confirm", "confirmation", "again", "repeat", "hash", "plain", "plaintext", "value"})

NAME_STEM = (
    r"(?i:(?:pass(?:word|wd|phrase|code)s?|pwd|pass)(?:[ _.-]?(?:"
    + "|".join(sorted(_AFTER))
    + r"))?|secret|token|authorization"
    r"|secrets|tokens|otp|pin|cv[vcn]|mfa|code"
    r"|credentials?|creds|auth|signature|sig|jwt|bearer|cookie|(?:"
    + "|".join(_KEY_OF)
    + r")[ _.-]{0,2}keys?)"
    r"[ _.0-9-]{0,8}"
)
"""How each secret name ends, as an expression: what the gate looks for before a quote, `=` or `:`."""
_NAME_END = re.compile(NAME_STEM + r"\Z", re.ASCII)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", re.ASCII)
_VERB = re.compile(r"(?:get|set|update|change|reset|forgot|has|is|show|verify|create|delete)[_A-Z]")
"""Begins the name of an action, not of a value: `update_password` is a tool, `"Write"` what it may do."""
_LONGEST_WORD = 12
_LONGEST = 128
_SOFT_CHARS = 16


class Secrecy(IntEnum):
    """What a name says about its value."""

    NONE = 0
    """Nothing."""
    SOFT = 1
    """Secret if the value looks like a key."""
    HARD = 2
    """Secret whatever the value."""


@lru_cache(maxsize=8192)
def secrecy(name: str) -> Secrecy:
    """Return what the name of a field, variable or parameter says about its value."""
    if len(name) > _LONGEST or _NAME_END.search(name) is None:
        return Secrecy.NONE
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    if not words or name in REPLAY_TOKENS:
        return Secrecy.NONE
    last = _PLURAL.get(words[-1]) or words[-1]
    before = words[-2] if len(words) > 1 else ""
    if last == "token" and words[-1] == "tokens":
        return Secrecy.SOFT if before not in _NOT_TOKEN_OF else Secrecy.NONE
    if last.endswith(_HARD_ENDS) or is_code_field(name):
        return Secrecy.HARD
    if last == "pass":
        return Secrecy.HARD if before in _PASS_OF else Secrecy.SOFT
    if last in _HARD or name.lower() in _DASHED:
        return Secrecy.HARD
    if (last == "key" and before in _KEY_OF) or (last in _AFTER and before in _PASSWORDS):
        return Secrecy.HARD
    if last == "token":
        if before in _NOT_TOKEN_OF:
            return Secrecy.NONE
        return Secrecy.HARD if before in _TOKEN_OF else Secrecy.SOFT
    return Secrecy.SOFT if last in _SOFT else Secrecy.NONE


@lru_cache(maxsize=1024)
def is_code_field(name: str) -> bool:
    """Return whether a name is that of a short code: a PIN, an OTP, the number on the back of a card."""
    words = [word.lower() for word in _WORD.findall(name)][-2:]
    if not words:
        return False
    return words[-1] in _CODES or (len(words) > 1 and words[-1] == "code" and words[0] in _CODE_OF)


def is_secret_field(name: str) -> bool:
    """Return whether text in a field of this name is a secret by its name alone."""
    return secrecy(name) is Secrecy.HARD


def is_password_field(name: str) -> bool:
    """Return whether a number in a field of this name is a secret too."""
    if is_code_field(name):
        return True
    words = [word.lower() for word in _WORD.findall(name)] if secrecy(name) is Secrecy.HARD else []
    return bool(words) and words[-1] in _PASSWORDS | {"secret"}


@lru_cache(maxsize=1024)
def is_secret_header(name: str) -> bool:
    """Return whether a header's value is never written."""
    return (
        name.lower() in HEADERS
        or is_secret_field(name)
        or (secrecy(name) is Secrecy.SOFT and name.lower().endswith(("token", "-auth", "-jwt")))
    )


def hides(name: str, value: str) -> bool:
    """Return whether a value is secret in a field of this name."""
    if is_code_field(name):
        return _CODE.fullmatch(value) is not None
    if value.isalpha() and len(value) <= _LONGEST_WORD and _VERB.match(name):
        return False
    level = secrecy(name)
    return level is Secrecy.HARD or (level is Secrecy.SOFT and looks_like_key(value, _SOFT_CHARS))


def looks_like_key(value: str, least: int) -> bool:
    """Return whether text is one word of letters and digits, long enough to be a key."""
    return (
        len(value) >= least
        and not any(char in value for char in " \t\r\n")
        and any(char.isdigit() for char in value)
        and any(char.isalpha() for char in value)
    )
