"""Seeded training rows for the demo fine-tune, made from ``demo_training_families.txt``.

In: the family file, a twin pair (defective and clean) per family with ``%word%`` blanks.
Out: rows of the golden review task, the same bytes for the same seed. Knows nothing about models.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

FAMILY_FILE = Path(__file__).with_name("demo_training_families.txt")
CATEGORIES = (
    "logic",
    "boundary",
    "null_handling",
    "error_handling",
    "resource_leak",
    "concurrency",
    "security",
    "performance",
    "api_misuse",
    "data_loss",
)
ROWS_PER_FAMILY = 7
HEAD_FIELDS = 6
SHORT_LINES = 6
_MARKS = " -+!*?"
_BLANK = re.compile(r"%([A-Za-z]+)%")

# item, items, owner, numeric field
_DOMAINS = (
    ("order", "orders", "customer", "amount"),
    ("invoice", "invoices", "client", "total"),
    ("ticket", "tickets", "agent", "hours"),
    ("booking", "bookings", "guest", "nights"),
    ("parcel", "parcels", "courier", "weight"),
    ("reading", "readings", "sensor", "value"),
    ("payment", "payments", "payer", "cents"),
    ("lesson", "lessons", "teacher", "minutes"),
    ("shipment", "shipments", "carrier", "pallets"),
    ("loan", "loans", "borrower", "rate"),
    ("recipe", "recipes", "cook", "servings"),
    ("match", "matches", "team", "points"),
    ("sample", "samples", "lab", "volume"),
    ("claim", "claims", "insurer", "damage"),
    ("job", "jobs", "worker", "priority"),
    ("seat", "seats", "venue", "price"),
    ("meter", "meters", "tenant", "usage"),
    ("visit", "visits", "patient", "cost"),
    ("photo", "photos", "album", "size"),
    ("vote", "votes", "district", "count"),
    ("trip", "trips", "driver", "distance"),
    ("plant", "plants", "gardener", "height"),
    ("token", "tokens", "issuer", "age"),
)
_VERBS = ("total", "sum", "count", "add_up", "tally")
_ACCUMULATORS = ("total", "result", "out", "found", "acc")
_NUMBERS = ("3", "5", "8", "10", "20", "50", "100")
_PRELUDES: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("import logging", ""),
    ("import logging", "", "log = logging.getLogger(__name__)", ""),
    ("from typing import Any", ""),
    ("RETRIES = 2", ""),
)


class TrainingRow(TypedDict):
    """One snippet with its true review."""

    purpose: str
    language: str
    code: str
    verdict: str
    category: str | None
    line: int | None
    severity: str | None
    comment: str | None
    family: str


@dataclass(frozen=True)
class Family:
    """A twin pair: marked template lines and the review of the defective twin."""

    name: str
    category: str
    severity: str
    language: str
    purpose: str
    comment: str
    lines: tuple[str, ...]


def read_families(path: Path = FAMILY_FILE) -> list[Family]:
    """Return the families of the file in order; a malformed block raises ``ValueError``."""
    blocks = re.split(r"^@ ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    families = [_parse_family(block) for block in blocks]
    names = [family.name for family in families]
    if len(set(names)) != len(names):
        raise ValueError(f"{path.name}: family names repeat; give each family its own name.")
    return families


def _parse_family(block: str) -> Family:
    """Turn one block (head line, then marked lines) into a family."""
    head, _, body = block.partition("\n")
    fields = [field.strip() for field in head.split("|")]
    lines = tuple(line or " " for line in body.strip("\n").split("\n"))
    bad_mark = next((line for line in lines if line[0] not in _MARKS), None)
    if len(fields) != HEAD_FIELDS or bad_mark is not None or fields[1] not in CATEGORIES:
        raise ValueError(
            f"family {fields[0]!r}: expected six head fields and lines marked ' -+!*?'"
        )
    name, category, severity, language, purpose, comment = fields
    return Family(name, category, severity, language, purpose, comment, lines)


def _draw_words(rng: random.Random, domain: tuple[str, str, str, str]) -> dict[str, str]:
    """Return the value of every ``%word%`` blank for one row."""
    item, items, owner, field = domain
    words = {"item": item, "items": items, "owner": owner, "field": field}
    words |= {key.capitalize(): value.capitalize() for key, value in words.items()}
    words |= {"ITEMS": items.upper(), "n": rng.choice(_NUMBERS), "verb": rng.choice(_VERBS)}
    words |= {"acc": rng.choice(_ACCUMULATORS), "dd": str(rng.randint(10, 28))}
    return words


def _fill(text: str, words: dict[str, str]) -> str:
    """Replace the ``%word%`` blanks of a text."""
    return _BLANK.sub(lambda found: words[found.group(1)], text)


def build_row(
    family: Family, defective: bool, rng: random.Random, domain_index: int
) -> TrainingRow:
    """Return one twin of a family, with names, numbers and optional lines drawn from ``rng``."""
    words = _draw_words(rng, _DOMAINS[domain_index % len(_DOMAINS)])
    # A very short snippet always gets a prelude, so that no row has fewer than four lines.
    prelude = rng.choice(_PRELUDES if len(family.lines) > SHORT_LINES else _PRELUDES[2:])
    code = list(prelude) if family.language == "python" else []
    removed: list[int] = []
    flagged: list[int] = []
    for line in family.lines:
        mark = line[0]
        other_twin = mark == "+" if defective else mark in "-*"
        if other_twin or (mark == "?" and rng.random() < 0.5):
            continue
        code.append(_fill(line[1:], words))
        if mark in "!*":
            flagged.append(len(code))
        elif mark == "-":
            removed.append(len(code))
    review_line = (flagged or removed)[0] if defective else None
    return {
        "purpose": _fill(family.purpose, words),
        "language": family.language,
        "code": "\n".join(code),
        "verdict": "defect" if defective else "clean",
        "category": family.category if defective else None,
        "line": review_line,
        "severity": family.severity if defective else None,
        "comment": _fill(family.comment, words) if defective else None,
        "family": family.name,
    }


def build_rows(seed: int = 7) -> list[TrainingRow]:
    """Return all training rows in a seeded order: seven a family, about six in ten defective."""
    rng = random.Random(seed)
    rows: list[TrainingRow] = []
    for number, family in enumerate(read_families()):
        defective_count = 5 if number % 3 == 0 else 4
        first_domain = rng.randrange(len(_DOMAINS))
        rows += [
            build_row(family, turn < defective_count, rng, first_domain + 3 * turn)
            for turn in range(ROWS_PER_FAMILY)
        ]
    rng.shuffle(rows)
    return rows


def hash_rows(rows: list[TrainingRow]) -> str:
    """Return the sha256 of the rows as JSON lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def main() -> None:
    """Print every row as a JSON line."""
    for row in build_rows():
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
