"""Text -> secrets and personal data in it, masked. Knows no rows.

Patterns find what has a form: keys with a known beginning, tokens, addresses, numbers with check
digits. Names, streets and national ids are not looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class PrivateThing:
    """Something that should not be trained on."""

    kind: str
    is_secret: bool
    """A secret opens a door; the others are personal data."""
    masked: str


@dataclass(frozen=True)
class _Pattern:
    kind: str
    is_secret: bool
    hints: tuple[str, ...]
    """One of these must be there: looking for them first is much faster than the pattern."""
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = lambda _: True


def private_things(text: str) -> Iterator[PrivateThing]:
    """Secrets and personal data in a text, each value once."""
    seen: set[str] = set()
    for one in _PATTERNS:
        if not any(hint in text for hint in one.hints):
            continue
        found = [match[match.lastindex or 0] for match in one.pattern.finditer(text)]
        for value in found:
            if value not in seen and one.holds(value):
                seen.add(value)
                yield PrivateThing(one.kind, one.is_secret, _masked(value))
        if found and one.is_secret:  # `name:password@host` is no e-mail address as well
            text = one.pattern.sub(" ", text)


def _masked(value: str) -> str:
    """The first two characters, unless they are half of it, and how long it is."""
    shown = value[:2] if len(value) >= 6 else ""
    return f"{shown}... ({len(value)} characters)"


def has_luhn_digit(number: str) -> bool:
    """Whether the last digit of a card number is its check digit (Luhn 1960, ISO/IEC 7812-1)."""
    digits = [int(c) for c in number if c.isdigit()]
    doubled = [2 * d - 9 if d > 4 else 2 * d for d in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def has_iban_digits(number: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616, ISO 7064 MOD 97-10)."""
    plain = number.replace(" ", "")
    turned = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _is_real_mail(address: str) -> bool:
    """Not of a domain that is reserved for examples (RFC 2606), nor a repository's."""
    name, _, domain = address.lower().rpartition("@")
    reserved = re.search(r"(^|\.)(example(\.(com|org|net))?|test|invalid|localhost)$", domain)
    return not reserved and name not in {"git", "noreply", "no-reply"}


def _is_real_password(password: str) -> bool:
    """Not a place-holder such as `${PASSWORD}`, `<password>` or `***`."""
    words = {"password", "passwd", "pass", "pwd", "secret", "pw", "changeme"}
    return password[0] not in "${<%*[" and password.lower() not in words and len(set(password)) > 1


def _is_random(value: str) -> bool:
    """Looks drawn by lot: small and capital letters and digits, few of them repeated."""
    kinds = (str.islower, str.isupper, str.isdigit)
    return sum(any(map(k, value)) for k in kinds) >= 2 and len(set(value)) >= 0.45 * len(value)


_LETTERS = r"[A-Za-z0-9_-]"
_PATTERNS = (
    _Pattern("private key", True, ("PRIVATE KEY",), re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    _Pattern("AWS key", True, ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    _Pattern("GitHub token", True, ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})")),
    _Pattern("GitLab token", True, ("glpat-",), re.compile(rf"\bglpat-{_LETTERS}{{20,}}")),
    _Pattern("API key", True, ("sk-",), re.compile(rf"\bsk-{_LETTERS}{{20,}}"), lambda v: any(map(str.isdigit, v))),
    _Pattern("payment key", True, ("k_live_", "k_test_"), re.compile(r"\b[prs]k_(?:live|test)_[A-Za-z0-9]{16,}")),
    _Pattern("Slack token", True, ("xox",), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    _Pattern("Google key", True, ("AIza",), re.compile(rf"\bAIza{_LETTERS}{{35}}")),
    _Pattern("package or hub token", True, ("npm_", "pypi-", "hf_"), re.compile(rf"\b(?:npm_[A-Za-z0-9]{{36}}|pypi-AgEI{_LETTERS}{{20,}}|hf_[A-Za-z0-9]{{30,}})")),
    _Pattern("JWT", True, ("eyJ",), re.compile(rf"\beyJ{_LETTERS}{{8,}}\.eyJ{_LETTERS}{{6,}}\.{_LETTERS}{{8,}}")),
    _Pattern("password in a URL", True, ("://",), re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@\"'<>]*:([^@\s/\"'<>]+)@"), _is_real_password),
    _Pattern(
        "key in an assignment", True, ("ecret", "SECRET", "oken", "TOKEN", "ey", "KEY", "assw", "PASSW"),
        re.compile(r"(?:secret|token|api_?key|access_?key|passw(?:or)?d)[\w-]{0,20}[\"']?\s*[:=]\s*[\"']([A-Za-z0-9+/_=-]{20,})[\"']", re.IGNORECASE),
        _is_random,
    ),
    _Pattern("e-mail address", False, ("@",), re.compile(r"\b[A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b"), _is_real_mail),
    _Pattern("phone number", False, ("+",), re.compile(r"(?<![\w+.])\+[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w.]\d|\w)"), lambda v: 9 <= sum(map(str.isdigit, v)) <= 15),
    _Pattern("phone number", False, ("(",), re.compile(r"(?<!\w)\([2-9]\d{2}\) ?[2-9]\d{2}-\d{4}\b")),
    _Pattern(
        "card number", False, tuple("3456"),
        re.compile(r"(?<![\w.-])(?:(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d)(?:[ -]?\d{4}){3}|3[47]\d\d[ -]?\d{6}[ -]?\d{5})(?![\w-]|\.\d)"),
        has_luhn_digit,
    ),
    _Pattern("IBAN", False, tuple("0123456789"), re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), has_iban_digits),
)  # fmt: skip
