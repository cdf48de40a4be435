"""The history of a repository -> candidates: a fix commit turned round is a change with a defect.

A commit counts as a fix of one defect where its subject matches a pattern, and it changes, apart from tests
and documents, few lines of one code file. Its subject becomes the comment. That a commit says it mends
something is a statement and no proof: have experts label these rows before a gate stands on them.

Only `git log` and `git diff` of committed content run, without a shell, without the repository's own hooks,
drivers and pager, and without a network. Nothing is checked out or written.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.evalset.importers.imported import BadRow, Found, make_group, one_line_breaks
from ftgate_ext.evalset.importers.kinds import (
    category_of_change,
    category_of_remark,
    is_test,
    language_of,
)
from ftgate_ext.evalset.importers.patches import changed_range, diff_text, read_patch
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIX = r"\b(?:fix(?:e[sd])?|bug|bugfix|hotfix|regression|crash(?:es)?|resolves? #\d+)\b"
NO_FIX = r"\b(?:typos?|docs?|documentation|comments?|lint\w*|format\w*|style|changelog|readme|spelling|flaky|tests?|ci|revert\w*|merge)\b"
MOST_LINES = 20
"""Lines that a fix adds and removes at most, together."""
TIMEOUT_S = 300
_SAFE = (
    "--no-pager", "--literal-pathspecs", "--no-optional-locks", "-c", "core.fsmonitor=false",
    "-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false", "-c", "log.showSignature=false",
    "-c", "diff.renames=false", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false",
    "-c", "diff.suppressBlankEmpty=false", "-c", f"diff.orderFile={os.devnull}", "-c", "diff.ignoreSubmodules=all",
)  # fmt: skip
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--diff-algorithm=myers")
_COMMIT = "\x1e"


@dataclass(frozen=True)
class Fix:
    """A commit that may mend one defect."""

    commit: str
    subject: str
    path: str


def read_git(repository: Path, licence: str = "not stated") -> Iterator[Found]:
    """One case a fix commit, the newest first.

    Raises:
        EvalSetError: There is no such repository, or git cannot read it.
    """
    name = repository.resolve().name or "repository"
    for fix in _fixes(repository):
        where = f"{repository}@{fix.commit[:12]}"
        patch = _git(
            repository, "diff", *_PLAIN, "--unified=8", "--inter-hunk-context=0", fix.commit, f"{fix.commit}^", "--", fix.path
        )  # fmt: skip
        try:
            patches = read_patch(one_line_breaks(patch))
        except ValueError as error:
            yield BadRow(where, f"diff: {error}")
            continue
        if not patches:
            continue
        # The diff runs backwards: what it removes is what the fix added.
        added = [line for p in patches for h in p.hunks for line in h.removed]
        removed = [line for p in patches for h in p.hunks for line in h.added]
        category = category_of_change(removed, added)
        yield make_group(where, {
            "id": f"git-{name}-{fix.commit[:12]}", "language": language_of(fix.path) or "text",
            "purpose": f"Changes {fix.path} of {name}.", "form": "diff", "code": diff_text(patches),
            "verdict": "defect", "subtype": "fix_commit", "lines": changed_range(patches),
            "category": category if category != "logic" else category_of_remark(fix.subject),
            "also_accept": ["logic"], "comment": fix.subject, "cluster": f"git-{name}-{fix.path}",
            "source": "git", "origin": f"{name}@{fix.commit}", "licence": licence,
        })  # fmt: skip


def _fixes(repository: Path) -> Iterator[Fix]:
    log = _git(
        repository, "log", "--min-parents=1", "--max-parents=1", *_PLAIN, "--numstat",
        f"--format={_COMMIT}%H %s",
    )  # fmt: skip
    for entry in log.split(_COMMIT)[1:]:
        head, *files = entry.split("\n")
        commit, _, subject = head.partition(" ")
        if not re.search(FIX, subject, re.IGNORECASE) or re.search(NO_FIX, subject, re.IGNORECASE):
            continue
        path = _one_small_file([line for line in files if line])
        if path is not None:
            yield Fix(commit, subject, path)


def _one_small_file(files: list[str]) -> str | None:
    """The one code file that changes, where it is one and changes little."""
    changed = []
    for line in files:
        added, removed, path = line.split("\t", 2)
        if is_test(path) or re.search(r"(?i)(?:\.(?:md|rst|txt)$|^docs?/|changelog)", path):
            continue
        changed.append((path, added, removed))
    if len(changed) != 1:
        return None
    path, added, removed = changed[0]
    # Of a binary file git gives no numbers; of a name with odd characters, a quoted one.
    if not (added.isdecimal() and removed.isdecimal()) or path.startswith('"'):
        return None
    few = 0 < int(added) + int(removed) <= MOST_LINES
    return path if few and language_of(path) else None


def _git(repository: Path, *arguments: str) -> str:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_")
    } | {
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none", "LC_ALL": "C",
    }  # fmt: skip
    if not repository.is_dir():
        raise EvalSetError(f"{repository}: no such folder; expected a git repository.")
    command = ["git", "-C", str(repository), *_SAFE, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and no argument comes from the repository but paths behind `--`
            command, env=environment, capture_output=True, stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise EvalSetError(
            "git: no such program; install git to import from a repository."
        ) from None
    except subprocess.TimeoutExpired:
        raise EvalSetError(f"{repository}: git did not end within {TIMEOUT_S} s.") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise EvalSetError(
            f"{repository}: git cannot read it ({told[-1] if told else 'no reason'})."
        )
    return done.stdout.decode(errors="replace")
