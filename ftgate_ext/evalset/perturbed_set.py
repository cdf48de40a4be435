"""A set of code reviews -> some of its Python cases as they are and perturbed, for lm-eval.

Nothing is stored: the rows follow from the file and a number, the same on every machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.perturb import PERTURBATIONS, UNPERTURBED, Perturbation, perturb
from ftgate_ext.evalset.rows import hand_over, load_cases, resolve_data_file
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.evalset.rows import Case

DEMANDED: tuple[Perturbation, ...] = tuple(p for p in PERTURBATIONS if p != "uncommented")
"""A case takes part if all of these fit it; few programs have comments to take away."""


def perturbed_rows(cases: Iterable[Case], bases: int) -> list[Case]:
    """Every chosen case as it is, followed by its perturbations.

    Args:
        cases: Rows of the golden type; Python functions are used.
        bases: Cases at most, chosen by the hash of their ids, so that no order favours any.

    Returns:
        Rows with `base`, the id of the case, and `perturbation`, `none` for the case as it is.
        Rows of one base stand together: the first rows of the set are whole cases.
    """
    fitting = (c for c in cases if c["language"] == "python" and c.get("form", "function") == "function")  # fmt: skip
    ranked = sorted(fitting, key=lambda c: hashlib.sha256(c["id"].encode()).hexdigest())
    rows: list[Case] = []
    taken = 0
    for case in ranked:
        if taken == bases:
            break
        made = _perturbed(case)
        if made:
            rows += made
            taken += 1
    return rows


def _perturbed(case: Case) -> list[Case]:
    lines = tuple(case["lines"]) if case.get("lines") else None
    found = {kind: perturb(kind, case["code"], lines) for kind in PERTURBATIONS}
    if any(found[kind] is None for kind in DEMANDED):
        return []
    plain = case | {"base": case["id"], "perturbation": UNPERTURBED, "id": f"{case['id']}-{UNPERTURBED}"}  # fmt: skip
    return [plain] + [
        case | {
            "base": case["id"], "perturbation": kind, "id": f"{case['id']}-{kind}",
            "code": made.code, "lines": list(made.lines) if made.lines else None,
        }
        for kind, made in found.items() if made is not None
    ]  # fmt: skip


def load_perturbed_data(
    *,
    file: str,
    bases: int,
    required: list[str] | None = None,
    config_source: str | None = None,
    **_metadata: Any,
) -> dict[str, Any]:
    """Give lm-eval the rows of a robustness task: the `custom_dataset` of its YAML.

    Args:
        file: JSONL file of the golden type, see `rows.resolve_data_file`.
        bases: Cases at most.
        required: Keys that every row must have.
        config_source: Path of the YAML, given by lm-eval.
        **_metadata: Whatever else lm-eval passes on.

    Raises:
        EvalSetError: The file is broken, or holds no Python function that can be perturbed.
    """
    path = resolve_data_file(file, config_source)
    rows = perturbed_rows(load_cases(path, tuple(required or ())), bases)
    if not rows:
        raise EvalSetError(
            f"{path}: no case can be perturbed; expected Python functions with local variables."
        )
    return hand_over(rows, path, config_source)
