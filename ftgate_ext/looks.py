"""How often the growing data of a run was looked at: `looks.json`.

Asking again until the answer is right is not a test. Knows run folders; no statistics.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ftgate_ext.runs import load_row, write_row
from ftgate_ext.schema import Look, LookLedger, LookUse, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.scores import ModelScores

LEDGER = "looks.json"


def note_look(run_dir: Path, candidate: ModelScores, policy: Policy) -> LookUse:
    """Write this look into the ledger, unless the same cases were looked at last.

    Args:
        run_dir: The run folder.
        candidate: Its cases are what is counted.
        policy: For the planned looks.

    Returns:
        The number of this look.

    Raises:
        RunError: More looks than were planned.
    """
    path = run_dir / LEDGER
    ledger = load_row(path, LookLedger, "compare") if path.is_file() else LookLedger()
    data_hash = _hash_cases(candidate)
    is_new = not ledger.looks or ledger.looks[-1].data_hash != data_hash
    if is_new:
        look = Look(
            number=len(ledger.looks) + 1, at=datetime.now(timezone.utc).isoformat(timespec="seconds"), data_hash=data_hash,
            n_cases={task: len(s.cases) for task, s in candidate.tasks.items()},
        )  # fmt: skip
        ledger = LookLedger(looks=[*ledger.looks, look])
    # Old looks too: the plan may have been made or changed after them.
    _check_planned(path, ledger, policy)
    if is_new:
        write_row(path, ledger)
    planned = policy.looks
    return LookUse(
        number=ledger.looks[-1].number,
        planned=planned.planned if planned else None,
        boundary=planned.boundary if planned else None,
    )


def _check_planned(path: Path, ledger: LookLedger, policy: Policy) -> None:
    if policy.looks and ledger.looks[-1].number > policy.looks.planned:
        raise RunError(
            f"{path}: all {policy.looks.planned} planned looks are used; a further one cannot be honest. Begin a new run with more cases."
        )


def _hash_cases(scores: ModelScores) -> str:
    digest = hashlib.sha256()
    for task in sorted(scores.tasks):
        for doc_hash in sorted(set(scores.tasks[task].doc_hashes)):
            digest.update(f"{task}\0{doc_hash}\n".encode())
    return digest.hexdigest()
