"""Mining fix commits: which ones count, what the case shows, and that a repository runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ftgate_ext.evalset.importers import gather
from ftgate_ext.evalset.importers.git import read_git
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs the program git")


def git(repository: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(
        ["git", *who, *arguments], cwd=repository, env=env, check=True, capture_output=True
    )


def commit(repository: Path, subject: str, **files: str) -> None:
    for name, text in files.items():
        path = repository / name.replace("__", "/").replace("_py", ".py").replace("_md", ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", subject)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "Fix everything at once", cart_py="def pages(n):\n    return n // 10\n")
    commit(
        folder, "Fix page count of a partly filled last page",
        cart_py="def pages(n):\n    return -(-n // 10)\n", tests__test_cart_py="x = 1\n", CHANGES_md="c\n",
    )  # fmt: skip
    commit(folder, "Fix typo", cart_py="def pages(n):\n    return -(-n // 10)  # up\n")
    commit(folder, "Add a thing", thing_py="y = 1\n")
    commit(folder, "Fix two", thing_py="y = 2\n", cart_py="def pages(n):\n    return 1\n")
    commit(folder, "Fix a lot", thing_py="\n".join(f"y = {i}" for i in range(40)))
    return folder


def test_a_small_fix_of_one_file_is_a_case(repository: Path) -> None:
    """Tests and documents may change beside it; roots, typos, wide and long changes do not count."""
    found = gather(read_git(repository, "MIT"))
    assert [row.comment for row in found.rows] == ["Fix page count of a partly filled last page"]
    row = found.rows[0]
    assert row.code.split("\n")[:2] == ["--- a/cart.py", "+++ b/cart.py"]
    assert row.code.split("\n")[row.lines[0] - 1] == "+    return n // 10"
    assert "-    return -(-n // 10)" in row.code
    assert (row.form, row.verdict, row.source, row.licence) == ("diff", "defect", "git", "MIT")
    assert (row.label_source, row.label_strength) == ("imported", "stated")


def test_the_repository_runs_nothing(repository: Path) -> None:
    """Drivers, text converters, monitors and signatures that its config names are not started."""
    trap = repository.parent / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {repository.parent}/sprung\n", encoding="utf-8")
    trap.chmod(0o755)
    for key in (
        "diff.external",
        "diff.x.textconv",
        "diff.x.command",
        "core.fsmonitor",
        "core.pager",
        "gpg.program",
    ):
        git(repository, "config", key, str(trap))
    git(repository, "config", "log.showSignature", "true")
    (repository / ".gitattributes").write_text("*.py diff=x\n", encoding="utf-8")
    before = sorted(path.name for path in repository.rglob("*"))
    assert len(gather(read_git(repository)).rows) == 1
    assert not (repository.parent / "sprung").exists()
    assert sorted(path.name for path in repository.rglob("*")) == before


def test_the_users_settings_do_not_change_the_diff(repository: Path) -> None:
    """Prefixes, colours and context of a config would make other bytes."""
    plain = gather(read_git(repository)).rows
    for key, value in (
        ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("color.ui", "always"),
        ("diff.context", "1"), ("diff.interHunkContext", "9"), ("diff.algorithm", "patience"),
    ):  # fmt: skip
        git(repository, "config", key, value)
    assert gather(read_git(repository)).rows == plain


def test_no_repository_is_one_line(tmp_path: Path) -> None:
    """Neither an empty folder nor none."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(EvalSetError, match=name):
            gather(read_git(tmp_path / name))
