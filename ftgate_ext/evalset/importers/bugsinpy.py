"""BugsInPy -> cases: the fix of a real bug turned round is the change that brings the defect.

Reads a JSONL file `bugsinpy_patches.jsonl` (`id`, `project`, `project_license`, `fixed_commit`,
`fix_patch`, a bug a line) or a clone of github.com/soarsmu/BugsInPy (`projects/*/bugs/*/bug_patch.txt`).
Changes of test files are not shown, unless the fix changes nothing else. Lines: from the first to the
last line that the shown change adds. The category is a guess (see kinds.py).

A share of the bugs may be shown as the fix itself, forwards: then the case is clean. Without it the set has no
clean row at all.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ftgate_ext.evalset.importers.imported import (
    BadRow,
    Found,
    LeftOut,
    SourceRow,
    make_group,
    one_line_breaks,
    read_rows,
)
from ftgate_ext.evalset.importers.kinds import category_of_change, in_words, is_test, language_of
from ftgate_ext.evalset.importers.patches import changed_range, diff_text, read_patch, turned_round
from ftgate_ext.evalset.importers.reading import files_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATCH = "bug_patch.txt"


class Bug(SourceRow):
    """One bug of the source."""

    id: str
    project: str
    project_license: str = "not stated"
    fixed_commit: str | None = None
    fix_shape: str = "modify"
    fix_patch: str


def read_bugsinpy(source: Path, clean_share: float = 0.0) -> Iterator[Found]:
    """One case a bug.

    Args:
        source: The file, its folder, or a clone.
        clean_share: Of the bugs, 0 to 1; which ones follows from their ids.

    Raises:
        EvalSetError: There is no such file, or it cannot be read.
    """
    for path in files_of(source, "bugsinpy*.jsonl*", f"projects/*/bugs/*/{PATCH}"):
        if path.name == PATCH:
            yield _from_clone(path, clean_share)
        else:
            yield from read_rows(path, Bug, lambda bug, where: _case(bug, where, clean_share))


def _from_clone(path: Path, clean_share: float) -> Found:
    number, project = path.parent.name, path.parents[2].name
    name = f"bugsinpy-{project}-{number}"
    return _case(Bug(id=name, project=project, fix_patch=read_text(path)), str(path), clean_share)


def _case(bug: Bug, where: str, clean_share: float) -> Found:
    if not bug.fix_patch.strip():
        return LeftOut(where, "the fix is an empty patch")
    try:
        patches = read_patch(one_line_breaks(bug.fix_patch))
    except ValueError as error:
        return BadRow(where, f"fix_patch: {error}")
    shown = [p for p in patches if not is_test(p.path)] or patches
    if not shown:
        return BadRow(where, "fix_patch: no `@@` block; expected a unified diff.")
    defective = [turned_round(patch) for patch in shown]
    removed = [line for patch in shown for hunk in patch.hunks for line in hunk.removed]
    added = [line for patch in shown for hunk in patch.hunks for line in hunk.added]
    if not removed and not added:
        return BadRow(where, "fix_patch: changes no line; expected a fix.")
    files = ", ".join(patch.path for patch in shown[:3]) + (" ..." if len(shown) > 3 else "")
    row = {
        "id": bug.id, "language": language_of(shown[0].path) or "python",
        "purpose": f"Changes {files} of the project {bug.project}.",
        "form": "diff", "cluster": f"bugsinpy-{bug.project}",
        "source": "bugsinpy", "licence": bug.project_license,
        "origin": f"{bug.id}@{bug.fixed_commit}" if bug.fixed_commit else bug.id,
    }  # fmt: skip
    if int(hashlib.sha256(bug.id.encode()).hexdigest()[:8], 16) < clean_share * 2**32:
        return make_group(where, row | {"code": diff_text(shown), "verdict": "clean"})
    return make_group(where, row | {
        "code": diff_text(defective), "verdict": "defect",
        "category": category_of_change(removed, added), "also_accept": ["logic"],
        "subtype": bug.fix_shape, "lines": changed_range(defective),
        "comment": in_words([(h.removed, h.added) for p in shown for h in p.hunks]),
    })  # fmt: skip
