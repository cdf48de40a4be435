"""Labels that rest on execution -> proven again: right code passes its test, defective code fails it.

Everything runs in the sandbox; nothing of a set is executed in this process.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.build import SEED, golden_cases
from ftgate_ext.evalset.cases import program_of
from ftgate_ext.evalset.families import load_families
from ftgate_ext.evalset.rows import load_cases
from ftgate_ext.evalset.versions import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.evalset.families import Defect, Family

    Run = Callable[[str, str, float], str]
    """(program, standard input, seconds) -> standard output."""

SECONDS = 5.0
"""A test that runs longer has failed."""
BATCH = 60
AT_ONCE = 2
PROCESSES = 64
"""Tests of thread pools start some."""
MOST_ROUNDS = 3
FAILURES = {"failed", "timeout"}


@dataclass(frozen=True)
class Proof:
    """One run of a test on one piece of code, and what must come out."""

    name: str
    code: str
    test: str
    must_pass: bool


@dataclass(frozen=True)
class Verified:
    """Outcomes of all proofs."""

    cases: int
    """Rows, or all cases of the families, whose label is proven."""
    proofs: int
    outcomes: dict[str, int]
    failures: list[str]
    """Proofs that did not come out as they must."""


def verify_sources(sources: Path, run: Run | None = None) -> Verified:
    """Prove every defect of every family in every skin, picked or not.

    Raises:
        EvalSetError: Sources are broken.
        SandboxUnavailable: There is no sandbox on this machine.
    """
    proofs = [
        proof
        for family in load_families(sources / "golden")
        if family.test is not None
        for number in range(len(family.skins))
        for defect in [None, *family.defects]
        for proof in [_proof(family, number, defect)]
    ]
    return _settle(proofs, len(proofs), run)


def verify_set(file: Path, sources: Path, run: Run | None = None) -> Verified:
    """Prove the rows of a built golden set whose label source is `execution`.

    The tests stand in the sources, so the rows must be what these sources give; a row that is not
    counts as a failure.

    Raises:
        EvalSetError: The set or the sources are broken.
        SandboxUnavailable: There is no sandbox on this machine.
    """
    rows = load_cases(file, ("code", "label_source"))
    manifest = read_manifest(file.parent)
    seed = manifest.seed if manifest and manifest.seed is not None else SEED
    built = {row["id"]: (case, row) for case, row in golden_cases(sources, seed)}
    proofs: dict[tuple[str, str], Proof] = {}
    strangers: list[str] = []
    executed = [row for row in rows if row["label_source"] == "execution"]
    for row in executed:
        case, expected = built.get(row["id"], (None, None))
        if case is None or expected != row:
            strangers.append(f"{row['id']}: not what the sources give; build the set again")
            continue
        # Clean rows: that some defect fails shows that the test looks.
        defect = case.defect or case.family.defects[0]
        for proof in (
            _proof(case.family, case.skin_number, None),
            _proof(case.family, case.skin_number, defect),
        ):
            proofs.setdefault((proof.code, proof.test), proof)
    found = _settle(list(proofs.values()), len(executed), run)
    return Verified(found.cases, found.proofs, found.outcomes, strangers + found.failures)


def _proof(family: Family, skin_number: int, defect: Defect | None) -> Proof:
    from ftgate_ext.evalset.families import fill

    skin = family.skins[skin_number]
    what = f"with {defect.subtype}" if defect else "right"
    return Proof(
        name=f"{family.family}, skin {skin_number}, {what}",
        code=program_of(family, skin, defect) + "\n",
        test=fill(family.test or "", skin),
        must_pass=defect is None,
    )


def _settle(proofs: Sequence[Proof], cases: int, run: Run | None) -> Verified:
    outcomes = run_proofs(proofs, run or run_in_sandbox)
    failures = []
    for proof, outcome in zip(proofs, outcomes, strict=True):
        if proof.must_pass and outcome != "passed":
            failures.append(f"{proof.name}: {outcome}; expected the test to pass")
        if not proof.must_pass and outcome not in FAILURES:
            failures.append(f"{proof.name}: {outcome}; expected the test to fail")
    return Verified(cases, len(proofs), dict(Counter(outcomes)), failures)


def run_proofs(proofs: Sequence[Proof], run: Run) -> list[str]:
    """The outcome of every proof, two batches at a time; what a broken batch leaves is run again."""
    outcomes: list[str | None] = [None] * len(proofs)
    for round_number in range(MOST_ROUNDS):
        open_places = [i for i, outcome in enumerate(outcomes) if outcome is None]
        size = BATCH if round_number == 0 else 1 + BATCH // 8 if round_number == 1 else 1
        batches = [open_places[i : i + size] for i in range(0, len(open_places), size)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(_run_batch, [proofs[i] for i in batch], run) for batch in batches]
            for batch, job in zip(batches, jobs, strict=True):
                for place, outcome in zip(batch, job.result(), strict=True):
                    outcomes[place] = outcome
        if None not in outcomes:
            break
    return [outcome or "no outcome" for outcome in outcomes]


def _run_batch(batch: Sequence[Proof], run: Run) -> list[str | None]:
    seconds = SECONDS * 2 + len(batch) * 1.0
    given: dict[str, Any] = {
        "pairs": [[proof.code, proof.test] for proof in batch],
        "seconds": SECONDS,
        "seconds_in_all": seconds,
    }
    program = Path(__file__).with_name("prove_program.py").read_text(encoding="utf-8")
    said = run(program, json.dumps(given), seconds + 2 * SECONDS)
    outcomes: list[str | None] = [None] * len(batch)
    for line in said.splitlines():
        number, _, outcome = line.partition(" ")
        if number.isdecimal() and int(number) < len(batch):
            outcomes[int(number)] = outcome
    return outcomes


def run_in_sandbox(program: str, stdin: str, seconds: float) -> str:
    """Standard output of a Python program that runs in the sandbox.

    Raises:
        SandboxUnavailable: There is no sandbox on this machine.
    """
    from ftgate_ext.scoring.sandbox import Limits, run_program

    limits = Limits(wall_s=seconds, cpu_s=SECONDS, processes=PROCESSES, output_bytes=1_000_000)
    return run_program(program, stdin=stdin, limits=limits).stdout
