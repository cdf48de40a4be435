"""AACR-Bench -> cases: a block of a pull request's diff and what reviewers agreed on about it.

Reads `aacr_with_diffs.jsonl.gz`: a pull request a line with `pr_url`, `repo`, `files` (`path`, `diff`) and
`comments` (`path`, `side`, `from_line`, `to_line`, `category`, `note`, `label`). A case is one `@@` block:

    defect    a valid comment on it speaks of a defect, a vulnerability or performance; several are
              joined, and the lines span them
    clean     comments on it, and all were rejected: reviewers looked there and found nothing
    left out  valid comments on maintainability only (no category of ours), and comments outside

Blocks without a comment make no case. "Code Defect" becomes a category by a guess (see kinds.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import ValidationError

from ftgate_ext.evalset.importers.imported import (
    BadRow,
    Found,
    LeftOut,
    SourceRow,
    make_group,
    one_line_breaks,
)
from ftgate_ext.evalset.importers.kinds import category_of_remark, language_of
from ftgate_ext.evalset.importers.patches import FilePatch, diff_text, read_patch
from ftgate_ext.evalset.importers.reading import Unreadable, files_of, objects_of, read_text
from ftgate_ext.evalset.schema import Category, first_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LICENCES = "project_licences.json"


class Comment(SourceRow):
    """One remark of a reviewer, a person or a model, judged by others."""

    path: str
    side: Literal["left", "right"]
    from_line: int
    to_line: int
    category: Literal[
        "Code Defect", "Maintainability and Readability", "Security Vulnerability", "Performance"
    ]
    note: str
    label: Literal["valid_issue", "rejected_comment"]
    is_ai_comment: bool = False

    @property
    def is_defect(self) -> bool:
        """Whether the remark holds and speaks of a defect."""
        return self.label == "valid_issue" and not self.category.startswith("Maintain")

    @property
    def kind(self) -> Category:
        """The category in our words."""
        if self.category == "Security Vulnerability":
            return "security"
        return "performance" if self.category == "Performance" else category_of_remark(self.note)


class ChangedFile(SourceRow):
    """One file of a pull request."""

    path: str
    diff: str


class PullRequest(SourceRow):
    """One line of the source."""

    pr_url: str
    repo: str
    files: list[ChangedFile]
    comments: list[Comment]


class Remark(NamedTuple):
    """A comment, and the lines of the block, from 0, that it stands at."""

    comment: Comment
    places: list[int]


def read_aacr(source: Path) -> Iterator[Found]:
    """A case for every block of a diff that reviewers commented.

    Raises:
        EvalSetError: There is no such file, or it cannot be read.
    """
    for path in files_of(source, "aacr_with_diffs.jsonl*", "*.jsonl*"):
        licences = _licences(path.with_name(LICENCES))
        for where, found in objects_of(path):
            if isinstance(found, Unreadable):
                yield BadRow(where, found.problem)
                continue
            try:
                request = PullRequest.model_validate(found)
            except ValidationError as error:
                yield BadRow(where, first_problem(error))
                continue
            yield from _cases(request, where, licences.get(request.repo, "not stated"))


def _cases(request: PullRequest, where: str, licence: str) -> Iterator[Found]:
    remarks: dict[str, list[Comment]] = defaultdict(list)
    for comment in request.comments:
        remarks[comment.path].append(comment)
    for file in request.files:
        comments = remarks.pop(file.path, [])
        if not comments:
            continue
        try:
            patches = read_patch(one_line_breaks(file.diff))
        except ValueError as error:
            yield BadRow(where, f"files: {file.path}: {error}")
            continue
        yield from _blocks(patches, comments, request, where, licence)
    for path, comments in remarks.items():
        for _ in comments:
            yield LeftOut(f"{where}: {path}", "a comment on a file without a diff")


def _blocks(
    patches: Sequence[FilePatch],
    comments: Sequence[Comment],
    request: PullRequest,
    where: str,
    licence: str,
) -> Iterator[Found]:
    rest = list(comments)
    for patch in patches:
        for hunk in patch.hunks:
            here: list[Remark] = []
            for comment in list(rest):
                first, last = sorted((comment.from_line, comment.to_line))
                if places := hunk.places(comment.side, first, last):
                    rest.remove(comment)
                    here.append(Remark(comment, places))
            if here:
                block = FilePatch(patch.old_path, patch.new_path, (hunk,))
                yield _case(block, here, request, where, licence)
    for _ in rest:
        yield LeftOut(where, "a comment on lines outside of the diff")


def _case(
    block: FilePatch, remarks: Sequence[Remark], request: PullRequest, where: str, licence: str
) -> Found:
    defects = [remark for remark in remarks if remark.comment.is_defect]
    if not defects and any(remark.comment.label == "valid_issue" for remark in remarks):
        return LeftOut(where, "a block with valid comments on maintainability only")
    origin = f"{request.pr_url}#{block.path}:{block.hunks[0].new_start}"
    row = {
        "id": f"aacr-{hashlib.sha256(origin.encode()).hexdigest()[:10]}",
        "language": language_of(block.path) or "text", "form": "diff", "code": diff_text([block]),
        "purpose": f"Changes {block.path} of {request.repo}.", "verdict": "clean",
        "cluster": f"aacr-{request.pr_url.removeprefix('https://github.com/')}", "source": "aacr",
        "origin": origin, "licence": f"Apache-2.0 (comments), {licence} (code)",
    }  # fmt: skip
    if not defects:
        return make_group(where, row)
    # What a person wrote comes first: it gives the category.
    defects.sort(key=lambda remark: (remark.comment.is_ai_comment, remark.places[0]))
    kinds = [remark.comment.kind for remark in defects]
    guessed = any(remark.comment.category == "Code Defect" for remark in defects)
    places = [place for remark in defects for place in remark.places]
    head = 3
    return make_group(where, row | {
        "verdict": "defect", "category": kinds[0],
        "also_accept": [*kinds[1:], *(["logic"] if guessed else [])],
        "subtype": defects[0].comment.category.lower().replace(" ", "_"),
        "lines": [head + min(places), head + max(places)],
        "comment": "\n\n".join(remark.comment.note.strip() for remark in defects),
    })  # fmt: skip


def _licences(path: Path) -> dict[str, str]:
    """Repository -> licence, from the first words of its licence file; empty where there is no list."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_text(path))
    except ValueError:
        return {}
    texts = found.items() if isinstance(found, dict) else ()
    return {str(repo): _licence(str(text)) for repo, text in texts}


def _licence(text: str) -> str:
    told = " ".join(text.split())
    known = {
        r"Apache License Version 2": "Apache-2.0",
        r"GNU AFFERO GENERAL PUBLIC LICENSE Version 3": "AGPL-3.0",
        r"MIT License": "MIT",
    }
    return next((name for words, name in known.items() if re.search(words, told)), told)
