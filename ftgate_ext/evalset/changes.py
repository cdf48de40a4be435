"""Two states of an eval set -> what was added, removed and changed, and which runs that outdates."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ftgate_ext.evalset.rows import file_sha256, load_cases
from ftgate_ext.evalset.versions import DESCRIPTIVE, read_versions, row_hash
from ftgate_ext.schema import EvalSetError, Row, RunManifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SetState(Row):
    """One side of a comparison."""

    name: str
    sha256: str
    hashes: dict[str, str]
    """Id -> hash of the row."""
    cases: dict[str, dict[str, Any]] | None
    """Id -> row; None where only the hashes of a frozen version are known."""


class OutdatedRun(Row):
    """A run that stands on the older state."""

    run: str
    task: str
    reason: str


class SetChanges(Row):
    """What `ftgate evalset diff` prints."""

    before: str
    after: str
    same_bytes: bool
    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    """Id -> fields that differ; `?` where only hashes of the older state are known."""
    reordered: bool
    """The common rows stand in another order."""
    outdated: list[OutdatedRun]


def read_state(given: str, folder: Path) -> SetState:
    """A JSONL file, or `<set>@<version>` as frozen in a folder.

    Raises:
        EvalSetError: There is no such file or version.
    """
    name, at, version = given.rpartition("@")
    if not at:
        path = folder / given
        rows = load_cases(path)
        return SetState(
            name=given, sha256=file_sha256(path), hashes={r["id"]: row_hash(r) for r in rows},
            cases={r["id"]: r for r in rows},
        )  # fmt: skip
    from ftgate_ext.assets import asset_dir

    places = [folder, asset_dir("golden")]
    frozen = [v for place in places for v in read_versions(place) if v.set == name]
    found = next((v for v in frozen if v.version == version), None)
    if found is None:
        known = ", ".join(dict.fromkeys(v.version for v in frozen)) or "none"
        raise EvalSetError(f"{given}: no such frozen version; known of {name!r}: {known}.")
    for place in places:
        path = place / f"{name}.jsonl"
        if path.is_file() and file_sha256(path) == found.sha256:
            cases = {row["id"]: row for row in load_cases(path)}
            break
    else:
        cases = None
    return SetState(name=given, sha256=found.sha256, hashes=found.row_hashes, cases=cases)


def compare_states(before: SetState, after: SetState, runs: Path | None = None) -> SetChanges:
    """What changed between two states, and which run folders stand on the older one."""
    old, new = before.hashes, after.hashes
    changed = {
        case: _fields(before, after, case) for case in old if case in new and old[case] != new[case]
    }
    common_old, common_new = [c for c in old if c in new], [c for c in new if c in old]
    found = SetChanges(
        before=before.name, after=after.name, same_bytes=before.sha256 == after.sha256,
        added=[c for c in new if c not in old], removed=[c for c in old if c not in new],
        changed=changed, reordered=common_old != common_new, outdated=[],
    )  # fmt: skip
    if runs is None or found.same_bytes:
        return found
    outdated = list(_outdated(runs, before.sha256, _reason(found)))
    return found.model_copy(update={"outdated": outdated})


def _fields(before: SetState, after: SetState, case: str) -> list[str]:
    if before.cases is None or after.cases is None:
        return ["?"]
    one, other = before.cases[case], after.cases[case]
    return [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]


def _reason(found: SetChanges) -> str:
    telling = [c for c, fields in found.changed.items() if set(fields) - DESCRIPTIVE]
    if telling or found.removed:
        return f"{len(telling)} of its cases ask or score differently now, {len(found.removed)} are gone"
    if found.added:
        return f"its cases stand as they were, {len(found.added)} have come since"
    return "its cases ask and score as they did; only descriptions or the order changed"


def _outdated(runs: Path, sha256: str, reason: str) -> Iterator[OutdatedRun]:
    paths = sorted(runs.glob("*/run.json")) or sorted(runs.glob("run.json"))
    if not paths:
        raise EvalSetError(f"{runs}: no run folders; expected a folder of folders with run.json.")
    for path in paths:
        try:
            manifest = RunManifest.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            yield OutdatedRun(run=path.parent.name, task="?", reason="run.json cannot be read")
            continue
        for use in manifest.eval_sets:
            if use.sha256 == sha256:
                yield OutdatedRun(run=path.parent.name, task=use.task, reason=reason)


def changes_text(found: SetChanges) -> str:
    """The changes in words."""
    if found.same_bytes:
        return f"{found.before} and {found.after} are the same bytes."
    fields = Counter(field for changed in found.changed.values() for field in changed)
    lines = [
        f"{found.before} -> {found.after}: {len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed{', in another order' if found.reordered else ''}."
    ]
    lines += [f"  changed {field}: {n} rows" for field, n in fields.most_common()]
    for what, ids in (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", list(found.changed)),
    ):
        if ids:
            more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
            lines.append(f"  {what}: {', '.join(ids[:10])}{more}")
    lines += [f"  run {x.run}, task {x.task}: {x.reason}" for x in found.outdated]
    return "\n".join(lines)
