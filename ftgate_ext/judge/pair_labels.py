"""Judged pairs of a run -> those to label, and where their labels lie.

Pairs are drawn at random, each with a known chance, from those that the judge gave a verdict on: only so do
labels correct the judge. Knows run folders; no terminal and no page.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ftgate_ext.evalset.label_pairs import DrawnPair, PairLabelling, read_pair_labels
from ftgate_ext.judge.conversations import question_text
from ftgate_ext.judge.correction import BesideJudge
from ftgate_ext.judge.pairwise import plan_looks
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.judge.stopping import load_stopping
from ftgate_ext.policy import load_policy
from ftgate_ext.runs import (
    MANIFEST,
    POLICY_COPY,
    load_model_records,
    load_rows,
    model_folders,
    write_text,
)
from ftgate_ext.schema import ROLES, EvalSetError, Judgment, Role, RunError
from ftgate_ext.winrate import SCORES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.judge.pairwise import Look
    from ftgate_ext.policy import Policy

PAIR_LABELS = "pair_labels.jsonl"
"""What `ftgate label --pairs` collects, in the run folder."""
POLICY_LABELS = "policy_labels.jsonl"
"""Copy of the labels that gate.yaml names, in the run folder: evidence lies together."""


def pair_labelling(
    run_dir: Path,
    labeller: str,
    n: int = 100,
    against: Role | None = None,
    by: str | None = None,
    overlap: float = 0.2,
) -> PairLabelling:
    """What one labeller is asked about a run.

    Args:
        run_dir: A run whose models were asked.
        labeller: Who labels.
        n: Pairs to label in all. The same command with a larger n keeps those drawn before.
        against: The other model; the first that the judge compares with when left out.
        by: Field of the rows: every value of it gets the same number of pairs, as far as there are.
        overlap: Share of the pairs that two label.

    Raises:
        RunError: No run, no judge in its policy, or no pairs.
        EvalSetError: n, labeller or overlap out of range, or a label of the run is broken.
    """
    if n < 1:
        raise EvalSetError(f"--n {n}: expected 1 or more pairs.")
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); make one with `ftgate run`.")
    policy = load_policy(run_dir / POLICY_COPY)
    frame = _frame(run_dir, policy, against, by)
    return PairLabelling(draw_pairs(frame, n, policy.run.seed), run_dir / PAIR_LABELS, labeller, overlap)  # fmt: skip


def label_run(
    run_dir: Path,
    labeller: str,
    n: int,
    against: str | None,
    by: str | None,
    overlap: float,
    *,
    port: int | None,
    ask: Callable[[str], str],
    tell: Callable[[str], None],
) -> str:
    """Ask one labeller, in the terminal or on a page; returns one line for the user.

    Args:
        run_dir: As `pair_labelling`, like the next five.
        labeller: Who labels.
        n: Pairs to label in all.
        against: The other model.
        by: Field that makes strata.
        overlap: Share of the pairs that two label.
        port: Of the page; None asks in the terminal.
        ask: Shows a question and returns a line.
        tell: Prints a line.

    Raises:
        RunError: As `pair_labelling`, or there is no such role.
        EvalSetError: As `pair_labelling`, or the port is taken.
    """
    from ftgate_ext.evalset.label_page import serve_page
    from ftgate_ext.evalset.label_pairs_shown import label_pairs_in_terminal, pair_form

    role = next((r for r in ROLES[1:] if r == against), None)
    if against and role is None:
        raise RunError(f"--against {against!r}: expected one of {', '.join(ROLES[1:])}.")
    labelling = pair_labelling(run_dir, labeller, n, role, by, overlap)
    if port is None:
        label_pairs_in_terminal(labelling, ask, tell)
    else:
        serve_page(labelling, port, tell, pair_form(labelling.labeller))
    return f"Labels: {labelling.labels_file}; `ftgate compare {run_dir}` uses them."


def draw_pairs(frame: dict[str, list[Look]], n: int, seed: int) -> list[DrawnPair]:
    """Draw n pairs, as many from each stratum as there are pairs and n allow.

    Args:
        frame: Stratum -> one look at each of its pairs.
        n: In all; fewer where there are fewer.
        seed: Same seed, same draw; a larger n only adds.
    """
    sizes = _allot(n, {name: len(looks) for name, looks in frame.items()})
    drawn = []
    for name, looks in frame.items():
        chosen = sorted(looks, key=lambda look: _place(look, seed))[: sizes[name]]
        drawn += [
            DrawnPair(
                task=look.task, baseline=look.baseline, case_id=look.case_id, doc_hash=look.doc_hash,
                pair_hash=look.pair_hash, question=look.question, candidate_answer=look.candidate_answer,
                baseline_answer=look.baseline_answer, chance=sizes[name] / len(looks),
                stratum=name or None,
            )
            for look in chosen
        ]  # fmt: skip
    return drawn


def _allot(n: int, sizes: dict[str, int]) -> dict[str, int]:
    """The same for each stratum; what small ones cannot give is shared among the others."""
    given = dict.fromkeys(sizes, 0)
    for name in sorted(sizes, key=lambda s: (sizes[s], s)):
        open_ = sum(1 for other in sizes if given[other] == 0)
        left = n - sum(given.values())
        given[name] = min(sizes[name], -(-left // open_)) if left > 0 else 0
    return given


def _place(look: Look, seed: int) -> str:
    words = f"label\0{seed}\0{look.baseline}\0{look.case_id}\0{look.pair_hash}"
    return hashlib.sha256(words.encode(errors="replace")).hexdigest()


def _frame(
    run_dir: Path, policy: Policy, against: Role | None, by: str | None
) -> dict[str, list[Look]]:
    """Stratum -> the pairs against one model that can be drawn: judged, and not identical."""
    spec = policy.judge
    if spec is None:
        raise RunError(f"{run_dir}: the policy names no judge; add `judge` to gate.yaml.")
    baseline = against or spec.against[0]
    folders = model_folders(run_dir)
    for role in ("candidate", baseline):
        if role not in folders:
            raise RunError(f"{run_dir}: no answers of {role}; run `ftgate run` first.")
    mine, theirs = (
        load_model_records(folders[role]).records.get(spec.task, [])
        for role in ("candidate", baseline)
    )  # fmt: skip
    looks = plan_looks(
        spec.task, baseline, mine, theirs, question_text, policy.run.seed, spec.limit
    )
    judged = _readable(run_dir, spec.task, baseline)
    strata = {(r.doc_hash, r.case_id): str(r.doc.get(by, "")) if by else "" for r in mine}
    frame: dict[str, list[Look]] = {}
    for look in looks:
        if look.round or look.identical or (judged is not None and look.pair_hash not in judged):
            continue
        frame.setdefault(strata[look.doc_hash, look.case_id], []).append(look)
    if not frame:
        raise RunError(f"{run_dir}: no pairs of candidate and {baseline} to label; both must have answered {spec.task}.")  # fmt: skip
    if by and list(frame) == [""]:
        raise RunError(f"{run_dir}: no row of {spec.task} has the field {by!r}; leave out --by.")
    return frame


def _readable(run_dir: Path, task: str, baseline: Role) -> set[str] | None:
    """Hashes of the pairs with a readable verdict; None where nothing was judged yet."""
    judgments = [
        j for j in load_rows(run_dir / JUDGMENTS, Judgment) if (j.task, j.baseline) == (task, baseline)
    ]  # fmt: skip
    broken = {j.pair_hash for j in judgments if j.verdict not in SCORES}
    return {j.pair_hash for j in judgments} - broken if judgments else None


# --- labels of a run


def keep_labels(policy: Policy, policy_file: Path, run_dir: Path) -> None:
    """Copy the labels that gate.yaml names into the run folder.

    Args:
        policy: With or without a judge.
        policy_file: The gate.yaml: names are relative to its folder.
        run_dir: The run.

    Raises:
        EvalSetError: The file is missing or holds what is no label.
    """
    if policy.judge is None or policy.judge.labels is None:
        return
    labels = read_pair_labels([policy_file.parent / policy.judge.labels])
    lines = (label.model_dump_json(exclude_none=True) + "\n" for label in labels)
    write_text(run_dir / POLICY_LABELS, "".join(lines))


def load_beside(run_dir: Path) -> BesideJudge:
    """What lies in a run folder beside the judgments.

    Raises:
        EvalSetError: A line of its labels is broken.
        RunError: A record of early stopping is broken.
    """
    files = [path for name in (POLICY_LABELS, PAIR_LABELS) if (path := run_dir / name).is_file()]
    return BesideJudge(read_pair_labels(files), load_stopping(run_dir))
