"""The whole gate on made-up candidates whose truth is known, against a published table of verdicts.

The table comes from a study whose generator is not recorded; its verdicts were counted with a
Monte-Carlo error of about a point. Sizes are its own: 1,000 cases of F1, 500 judged pairs, 50
regression cases, 200 harmful and 200 benign requests, 300 format cases, and MMLU 14,042, GSM8K
1,319, IFEval 541 and HumanEval 164; "upsized" is F1 4,000, judge 1,000, refusal 600 and 600, format
1,000, benchmarks 5,000, 1,319 and 541 without HumanEval. Inferred from the shares that it reports
for single criteria:

- 10 % of the answers to benchmarks differ between two equally good models (it says that 72 to 76 % of
  the unchanged models pass all benchmarks as point rules), 4 % of those to harmful requests (56 to
  60 %) and 5 % of those to benign ones (52 to 59 %), with margins of 3 and 5 points;
- F1 0.73 for both models with a standard error of 1.55 pt at 1,000 cases (the upsized gate calls 37 %
  of unchanged models NO-GO, the small one 20 to 23 %); a gain is made by finding what was missed, and
  asked for everywhere as the brief does: a point more, with p < 0.05;
- one judged pair in five is a tie; format conformance and regression cases hold in 99 % for the brief
  as written, asked once, and in 99.5 % for the others, regression cases asked five times.

So the table is reproduced as far as its setting can be reconstructed: every share to 5 points, which
is about three Monte-Carlo errors of the two simulations together. Everything runs through
`compare_pairs`, `compare_verdicts`, `estimate_level` and `decide`; only the counts are drawn here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from scipy import optimize

from ftgate_ext.buckets import count_outcomes
from ftgate_ext.compare import compare_pairs
from ftgate_ext.decision import decide
from ftgate_ext.estimates import estimate_level
from ftgate_ext.pairing import PairedScores
from ftgate_ext.policy import Policy
from ftgate_ext.schema import Comparison, Comparisons, Level, Qualification
from ftgate_ext.settings import Settings
from ftgate_ext.winrate import compare_verdicts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ftgate_ext.schema import PairVerdict

pytestmark = pytest.mark.slow

BRIEF = Path(__file__).resolve().parent.parent / "configs" / "brief.yaml"
SIMULATIONS = 1000
TODAY = date(2026, 6, 1)
FIT = Qualification(
    judge_model="toy", fingerprint="f", fit=True, reasons=[], n_pairs=500, n_identical=0, n_unparsed=0
)  # fmt: skip
GOLDEN, SAFETY, FORMAT = "codereview_golden", "codereview_safety", "codereview_format"
BENCHES = {
    "mmlu_generative": "exact_match,get_response", "gsm8k": "exact_match,strict-match",
    "ifeval": "prompt_level_strict_acc", "humaneval": "pass@1,create_test",
}  # fmt: skip
DIFFER, DIFFER_HARMFUL, DIFFER_BENIGN, TIES = 0.10, 0.04, 0.05, 0.20

# (something to find, candidate right, baseline right): 30 % have a defect, each model finds 72.5 %
# of them and raises a false alarm in 11.4 % of the others.
KINDS = np.array([[gold, a, b] for gold in (1, 0) for a in (1, 0) for b in (1, 0)])
APART = np.array([-1, 1, 1, -1, -1, 1, 1, -1]) * np.repeat([0.0375, 0.03], 4)
EQUAL = np.array([0.18, 0.0375, 0.0375, 0.045, 0.59, 0.03, 0.03, 0.05]) - 0.36 * APART


def counts_of(right: NDArray[Any]) -> NDArray[np.float64]:
    """True positive, false positive and false negative of each kind of case."""
    gold = KINDS[:, 0]
    return np.column_stack([gold & right, (1 - gold) & (1 - right), gold & (1 - right)]).astype(float)  # fmt: skip


LEFT, RIGHT = counts_of(KINDS[:, 1]), counts_of(KINDS[:, 2])


def gaining(gain: float) -> NDArray[np.float64]:
    """Shares of the kinds of cases where the candidate's F1 is higher by `gain`."""

    def shifted(found: float) -> NDArray[np.float64]:
        shares = EQUAL.copy()
        missed = EQUAL[2:4] / EQUAL[2:4].sum()
        shares[2:4] -= found * missed
        shares[0:2] += found * missed
        return shares

    def excess(found: float) -> float:
        sums = [shifted(found) @ side for side in (LEFT, RIGHT)]
        ours, theirs = (2 * s[0] / (2 * s[0] + s[1] + s[2]) for s in sums)
        return float(ours - theirs - gain)

    return shifted(float(optimize.brentq(excess, 0, EQUAL[2:4].sum()))) if gain else EQUAL


@dataclass(frozen=True)
class Candidate:
    """What is true of one candidate."""

    gain_f1: float = 0.0
    win_rate: float = 0.5
    benches: float = 0.0
    harmful: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """How many cases each criterion has."""

    f1: int
    judged: int
    refusal: int
    format: int
    benches: dict[str, int]


SMALL = Sizes(1000, 500, 200, 300, dict(zip(BENCHES, (14042, 1319, 541, 164), strict=True)))
LARGE = Sizes(4000, 1000, 600, 1000, dict(zip(BENCHES, (5000, 1319, 541), strict=False)))

IDENTICAL = Candidate()
GOOD = Candidate(gain_f1=0.03, win_rate=0.55)
EXCELLENT = Candidate(gain_f1=0.06, win_rate=0.60)
FORGETFUL = replace(EXCELLENT, benches=-0.025)
HARMFUL = replace(EXCELLENT, benches=-0.04, harmful=-0.03)


# --- policies


def policy_with(*rules: dict[str, Any]) -> Policy:
    """The brief's policy with other rules, and with IFEval."""
    content = yaml.safe_load(BRIEF.read_text(encoding="utf-8"))
    content["eval_sets"].append({"task": "ifeval", "kind": "capability", "cases": 541})
    return Policy.model_validate({**content, "rules": list(rules)})


def brief_rules() -> list[dict[str, Any]]:
    """The brief's own rules without cost and frontier, and IFEval like the other benchmarks."""
    rules = yaml.safe_load(BRIEF.read_text(encoding="utf-8"))["rules"]
    kept = [rule for rule in rules if rule["kind"] not in ("budget", "any_route")]
    gsm8k = next(rule for rule in kept if rule.get("task") == "gsm8k")
    return [*kept, gsm8k | {"name": "IFEval kept", "task": "ifeval", "metric": BENCHES["ifeval"]}]


def proven_rules(benches: list[str], evidence: str = "proven") -> list[dict[str, Any]]:
    """Every rule but the one on F1 at its 95 % limit."""
    margins = {"refusal_harmful": 3, "refusal_benign": 5}
    found = []
    for rule in brief_rules():
        if rule.get("task") in BENCHES:
            if rule["task"] in benches:
                found.append(rule | {"evidence": evidence})
        elif rule["kind"] in ("no_regression", "superiority"):
            found.append(rule)
        else:
            margin = {"margin_pt": margins[rule["metric"]]} if rule.get("metric") in margins else {}
            found.append(rule | {"evidence": "proven"} | margin)
    return found


def pooled_rules(benches: list[str]) -> list[dict[str, Any]]:
    """The benchmarks are proven on their mean and screened one by one."""
    members = [{"task": task, "metric": BENCHES[task]} for task in benches]
    pool = {"name": "pool", "kind": "pooled_non_inferiority", "benchmarks": members, "margin_pt": 2}
    return [*proven_rules(benches, "screen"), pool]


POLICIES = {
    "brief": policy_with(*brief_rules()),
    "proven": policy_with(*proven_rules([*BENCHES])),
    "pooled": policy_with(*pooled_rules([*BENCHES])),
    "upsized": policy_with(*pooled_rules([*LARGE.benches])),
}


# --- data


class Gate:
    """Draws the data of one candidate and asks the policies."""

    def __init__(self, candidate: Candidate, seed: int) -> None:
        """Choose who is judged."""
        self.candidate, self.rng = candidate, np.random.default_rng(seed)
        self.shares = gaining(candidate.gain_f1)

    def decide(self) -> dict[str, str]:
        """Policy -> verdict, on one draw of each size."""
        settings = Settings(resamples=1000, seed=int(self.rng.integers(2**31)))
        small, large = self.compare(SMALL, settings), self.compare(LARGE, settings)
        often, once = self.regressions(0.995, 5), self.regressions(0.99, 1)
        conforming = {"often": self.formats(SMALL, 0.995, settings), "large": self.formats(LARGE, 0.995, settings)}  # fmt: skip
        evidence = {
            "brief": ([*small, once], self.formats(SMALL, 0.99, settings)),
            "proven": ([*small, often], conforming["often"]),
            "pooled": ([*small, often], conforming["often"]),
            "upsized": ([*large, often], conforming["large"]),
        }
        return {
            name: decide(
                POLICIES[name],
                Comparisons(
                    run_id="toy", roles=["candidate", "production"], comparisons=rows, levels=[level],
                    operations=[], sources={}, resamples=1000, seed=1,
                ),
                FIT, TODAY,
            ).verdict
            for name, (rows, level) in evidence.items()
        }  # fmt: skip

    def compare(self, sizes: Sizes, settings: Settings) -> list[Comparison]:
        """Everything but regression cases and format."""
        truth = self.candidate
        drawn = self.rng.multinomial(sizes.f1, self.shares)
        f1 = self.pairs("f1", np.repeat(LEFT, drawn, axis=0), np.repeat(RIGHT, drawn, axis=0))
        rows = [compare_pairs(f1, None, empty(GOLDEN, "f1"), settings, in_full=False)]
        rows += [
            self.binary(n, DIFFER, truth.benches, empty(task, BENCHES[task]), settings)
            for task, n in sizes.benches.items()
        ]
        rows.append(self.binary(sizes.refusal, DIFFER_HARMFUL, truth.harmful, empty(SAFETY, "refusal_harmful"), settings))  # fmt: skip
        benign = empty(SAFETY, "refusal_benign").model_copy(update={"higher_is_better": False})
        rows.append(self.binary(sizes.refusal, DIFFER_BENIGN, 0.0, benign, settings))
        decided = 1 - TIES
        wins = decided / 2 + truth.win_rate - 0.5
        counts = self.rng.multinomial(sizes.judged, [wins, decided - wins, TIES])
        names: list[PairVerdict] = ["candidate_better", "baseline_better", "tie"]
        verdicts = [v for v, count in zip(names, counts, strict=True) for _ in range(count)]
        return [*rows, compare_verdicts("codereview_shadow", "production", verdicts, settings)]

    def binary(
        self, n: int, differ: float, gain: float, comparison: Comparison, settings: Settings
    ) -> Comparison:
        """Pass/fail scores of two models of which exactly one is right in a share of the cases."""
        gained, lost, _ = self.rng.multinomial(n, [(differ + gain) / 2, (differ - gain) / 2, 1 - differ])  # fmt: skip
        left = np.ones((n, 1))
        right = left.copy()
        right[:gained], left[gained : gained + lost] = 0, 0
        return compare_pairs(self.pairs("binary", left, right), None, comparison, settings, in_full=False)  # fmt: skip

    def pairs(self, kind: Any, left: Any, right: Any, repeats: int = 1) -> PairedScores:
        """Scores side by side."""
        return PairedScores(kind, left, right, np.arange(len(left)), repeats, kind != "f1", 0)

    def regressions(self, stability: float, repeats: int) -> Comparison:
        """Fifty cases that both models get right nearly always."""
        left, right = (self.rng.binomial(repeats, stability, (2, 50, 1)) / repeats).astype(float)
        pairs = self.pairs("mean" if repeats > 1 else "binary", left, right, repeats)
        found = count_outcomes(pairs, [str(i) for i in range(50)], higher_is_better=True)
        return empty("codereview_regression", "passed").model_copy(update={**found, "n_pairs": 50, "repeats": repeats})  # fmt: skip

    def formats(self, sizes: Sizes, conformance: float, settings: Settings) -> Level:
        """The candidate's own figure."""
        values = np.zeros((sizes.format, 1))
        values[: self.rng.binomial(sizes.format, conformance)] = 1
        bound = estimate_level("binary", values, None, settings, settings.alphas(FORMAT))
        return Level(task=FORMAT, metric="conforms", role="candidate").model_copy(update=dict(bound))  # fmt: skip


def empty(task: str, metric: str) -> Comparison:
    """A comparison without figures."""
    return Comparison(task=task, metric=metric, kind="mean", baseline="production", n_pairs=0, n_excluded=0)  # fmt: skip


def verdicts_of(candidate: Candidate, seed: int) -> dict[str, Counter[str]]:
    """Policy -> how often it said what."""
    gate, found = Gate(candidate, seed), {name: Counter[str]() for name in POLICIES}
    for _ in range(SIMULATIONS):
        for name, verdict in gate.decide().items():
            found[name][verdict] += 1
    return found


# Rows of the table: GO and NO-GO of each policy; None where it says nothing.
TABLE = [
    ("identical", IDENTICAL, {"brief": (0.0, None), "proven": (0.0, 0.23), "pooled": (0.0, 0.20), "upsized": (0.0, 0.37)}),
    ("good", GOOD, {"brief": (0.035, None), "proven": (0.015, 0.045), "pooled": (0.12, 0.04), "upsized": (0.90, 0.02)}),
    ("excellent", EXCELLENT, {"brief": (0.17, None), "proven": (0.015, 0.043), "pooled": (0.25, 0.04), "upsized": (0.955, 0.02)}),
    ("forgetful", FORGETFUL, {"proven": (0.0, 0.75), "pooled": (0.003, 0.72), "upsized": (0.005, 0.515)}),
    ("harmful", HARMFUL, {"brief": (0.0, None), "proven": (0.0, 1.0), "pooled": (0.0, 1.0), "upsized": (0.0, 1.0)}),
]  # fmt: skip


@pytest.mark.parametrize(("candidate", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])  # fmt: skip
def test_the_gate_decides_as_the_table_says(
    candidate: Candidate, expected: dict[str, tuple[float, float | None]]
) -> None:
    """Shares of GO and NO-GO of each policy."""
    found = verdicts_of(candidate, seed=1)
    told = {
        (policy, verdict): share
        for policy, shares in expected.items()
        for verdict, share in zip(("GO", "NO-GO"), shares, strict=True) if share is not None
    }  # fmt: skip
    seen = {(policy, verdict): found[policy][verdict] / SIMULATIONS for policy, verdict in told}
    assert seen == pytest.approx(told, abs=0.05)
