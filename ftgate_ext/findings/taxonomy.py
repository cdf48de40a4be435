"""The failure categories: the ten that are built in, or a team's own from YAML.

A team's file:

    categories:
      - name: invented API
        description: It names a function that the library does not have.
        when:                                  # all must hold; the first category that fits counts
          - {reply: verdict, is: defect}
          - {answer: "(?i)deprecated"}
      - name: rude
        description: It blames the author.
        by: judge

Conditions: `metric` (a score), `field` (of the row) or `reply` (of the JSON object in the answer) with `is`,
`below` or `at_least`; `answer`, a regular expression that is searched for; `status` of the response.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ftgate_ext.evalset.schema import first_problem
from ftgate_ext.runs import POLICY_COPY, write_text
from ftgate_ext.schema import PolicyError, ResponseStatus, Row

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.runs import Record

TAXONOMY_COPY = "taxonomy.yaml"
SEARCHED_CHARS = 4000
"""So much of an answer is searched: a model writes the text that a regular expression meets."""
MOST_CATEGORIES = 40

MISSED, ALARM, LOCATION, CATEGORY = "missed defect", "false alarm", "wrong location", "wrong category"  # fmt: skip
SEVERITY, INVENTED, IGNORED = "severity misjudged", "invented code or API", "ignored instruction"
BROKEN, CUT, REFUSED = "format broken", "truncated or empty", "refused"
REQUEST_FAILED = "request failed"
"""No failure of the model: the system's."""
UNSORTED = "not sorted"
"""A failure that fits no category of a team's own taxonomy."""


class Condition(Row):
    """One thing that must hold for a failure to belong to a category."""

    metric: str | None = None
    field: str | None = None
    reply: str | None = None
    answer: str | None = None
    status: ResponseStatus | None = None
    is_: Any = Field(default=None, alias="is")
    below: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Condition:
        named = [self.metric, self.field, self.reply, self.answer, self.status]
        if sum(name is not None for name in named) != 1:
            raise ValueError("expected exactly one of metric, field, reply, answer, status")
        compared = self.model_fields_set & {"is_", "below", "at_least"}
        wanted = self.answer is None and self.status is None
        if wanted != (len(compared) == 1):
            raise ValueError("metric, field and reply need exactly one of is, below, at_least; others none")  # fmt: skip
        return self

    @field_validator("answer")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        return value

    def holds(self, record: Record, reply: dict[str, Any] | None) -> bool:
        """Whether it holds for a failure; what is not there is `null`."""
        if self.answer is not None:
            return re.search(self.answer, record.answer[:SEARCHED_CHARS]) is not None
        if self.status is not None:
            return record.response is not None and record.response.status == self.status
        value = (
            record.scores.get(self.metric) if self.metric
            else record.doc.get(self.field) if self.field
            else (reply or {}).get(self.reply or "")
        )  # fmt: skip
        if "is_" in self.model_fields_set:
            return bool(value == self.is_)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return value < self.below if self.below is not None else value >= (self.at_least or 0)


class Category(Row):
    """One kind of failure."""

    name: str = Field(min_length=1, max_length=60)
    description: str = Field(min_length=1, max_length=400)
    """What the judge is told, and the report."""
    when: list[Condition] = []
    by: Literal["rule", "judge"] = "rule"

    @model_validator(mode="after")
    def _sortable(self) -> Category:
        if (self.by == "rule") != bool(self.when):
            raise ValueError("a category has either `when` or `by: judge`")
        return self


class Taxonomy(Row):
    """A team's own categories, in the order in which they are tried."""

    categories: list[Category] = Field(min_length=1, max_length=MOST_CATEGORIES)

    @model_validator(mode="after")
    def _different(self) -> Taxonomy:
        names = [category.name for category in self.categories]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"category {twice[0]!r} stands there twice")
        return self

    def sort(self, record: Record) -> list[str]:
        """The categories whose rules hold for a failure, the first one first."""
        reply = _reply(record.answer)
        return [
            category.name
            for category in self.categories
            if category.when and all(c.holds(record, reply) for c in category.when)
        ]


BUILT_IN: dict[str, str] = {
    MISSED: "The code has a defect and the answer calls it clean.",
    ALARM: "The code is clean and the answer reports a defect.",
    LOCATION: "The right defect at a line that is more than one off.",
    CATEGORY: "A defect is reported where there is one, of a category that no expert accepts.",
    SEVERITY: "The right defect, its severity two or more steps off.",
    INVENTED: "The answer speaks of a line or a name that the code under review does not have.",
    IGNORED: "An answer that can be read, but not as the request demands it.",
    BROKEN: "No answer in the wanted format can be read.",
    CUT: "The answer ended at the token limit, or there is none.",
    REFUSED: "The model declines a request that it should serve.",
}
"""Name -> meaning of the ten categories, as rules and judge apply them."""


def load_taxonomy(path: Path) -> Taxonomy:
    """Read a team's categories.

    Raises:
        PolicyError: The file is missing, no YAML, or not as described above.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f"{path}: no such file; `taxonomy` in gate.yaml names it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise PolicyError(f"{path}{line}: not valid YAML ({problem}); mend the line.") from None
    try:
        return Taxonomy.model_validate(content)
    except ValidationError as error:
        raise PolicyError(f"{path}: {first_problem(error)}") from None


def keep_taxonomy(policy: Policy, policy_file: Path, run_dir: Path) -> None:
    """Copy the categories that gate.yaml names into the run folder: evidence lies together.

    Raises:
        PolicyError: The file is missing or holds no taxonomy.
    """
    if policy.taxonomy is None or policy_file == run_dir / POLICY_COPY:
        return
    source = policy_file.parent / policy.taxonomy
    load_taxonomy(source)
    write_text(run_dir / TAXONOMY_COPY, source.read_text(encoding="utf-8"))


def taxonomy_of(policy: Policy, run_dir: Path) -> Taxonomy | None:
    """The team's own categories of a run; None where the built-in ones count.

    Raises:
        PolicyError: The policy names some, and the run folder has no copy of them.
    """
    return None if policy.taxonomy is None else load_taxonomy(run_dir / TAXONOMY_COPY)


def _reply(answer: str) -> dict[str, Any] | None:
    """The first JSON object in an answer."""
    text = answer[:SEARCHED_CHARS]
    start = text.find("{")
    for _ in range(20):
        if start < 0:
            return None
        try:
            value, _end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return value if isinstance(value, dict) else None
    return None
