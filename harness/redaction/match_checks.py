"""Checks of a match that no pattern can express: mixed characters, check digits, the meaning of a name."""

from __future__ import annotations

from harness.redaction.secret_fields import Secrecy, hides, is_secret_header, secrecy

_PARAMETERS = frozenset(
    {"key", "sig", "signature", "auth", "token", "access_key", "x-amz-credential", "x-amz-signature"}
    | {"x-amz-security-token", "x-goog-signature", "x-goog-credential"}
)
_LEAST_PARAMETER = 12
_IBAN = (15, 34)
_CARD = (13, 19)
_PHONE = (8, 15)


def accepted(needs: tuple[str, ...], secret: bytes, name: bytes | None) -> int:
    """Return how many bytes of what was found are secret; 0 if it is none.

    Args:
        needs: The rule's checks; all must hold.
        secret: What the pattern found.
        name: The name it was given, if the pattern has one.
    """
    size = len(secret)
    field = "" if name is None else name.decode("latin-1")
    for need in needs:
        match need:
            case "digit":
                size = size if any(48 <= byte <= 57 for byte in secret) else 0
            case "mixed":
                size = size if _is_mixed(secret) else 0
            case "name":
                size = size if hides(field, secret.decode("latin-1")) else 0
            case "assigned":
                size = size if _is_assigned(field, secret) else 0
            case "quoted":
                size = 0 if _is_variable(secret) else size
            case "parameter":
                size = size if _is_parameter(field, secret) else 0
            case "luhn":
                size = _card(secret)
            case "iban":
                size = _iban(secret)
            case "phone":
                size = size if _PHONE[0] <= _digits(secret) <= _PHONE[1] else 0
        if not size:
            return 0
    return size


def _is_mixed(secret: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in secret) and secret.upper() != secret.lower()


def _is_variable(secret: bytes) -> bool:
    """Return whether text stands for a value without being one: `${KEY}`, `{{ key }}`, `%(key)s`, `****`."""
    return secret.lstrip()[:1] in b"$%" or secret.startswith(b"{{") or not secret.strip(b"*.xX- ")


def _is_assigned(name: str, secret: bytes) -> bool:
    """Tell a value from code: `password=self.password` is none, `DB_PASSWORD=hunter` is."""
    if _is_variable(secret):
        return False
    if name.isupper():
        return True
    return not (secret.replace(b".", b"").replace(b"_", b"").isalpha() and secret.isascii())


def _is_parameter(name: str, secret: bytes) -> bool:
    if _is_variable(secret):
        return False
    if secrecy(name) is Secrecy.HARD or is_secret_header(name):
        return True
    return name.lower() in _PARAMETERS and len(secret) >= _LEAST_PARAMETER and _is_mixed(secret)


def _digits(secret: bytes) -> int:
    return sum(48 <= byte <= 57 for byte in secret)


def _card(secret: bytes) -> int:
    """Check the Luhn sum (ISO/IEC 7812-1)."""
    digits = [byte - 48 for byte in secret if 48 <= byte <= 57]
    if not _CARD[0] <= len(digits) <= _CARD[1]:
        return 0
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 0 if (sum(digits[-1::-2]) + sum(doubled)) % 10 else len(secret)


def _iban(secret: bytes) -> int:
    """Return the length of the number at the start whose check digits hold (ISO 13616, modulo 97)."""
    for size in range(len(secret), _IBAN[0] - 1, -1):
        plain = secret[:size].replace(b" ", b"").decode()
        if _IBAN[0] <= len(plain) <= _IBAN[1] and secret[size - 1 : size] != b" ":
            number = int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4]))
            if number % 97 == 1:
                return size
    return 0
