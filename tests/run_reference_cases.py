"""Reference cases -> the answers of `ftgate_ext.stats`, compared with what is expected.

    python tests/run_reference_cases.py FILE [--answers OUT.json]

Every case is answered by one small function of its category that calls public functions of the
statistics only. A case says what is expected of it in one of three forms: `checks` (path, value,
mode, tol), `expect` (path -> [value, mode, tolerance]), or `answer_paths`, which must have an answer.
Modes: abs and rel compare numbers, equal compares anything, info is not compared. A path names a
place in the answer as in a JSON pointer: /ci95/0. Exit code 1 where anything is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

# Run as a script, this file answers for the checkout that it stands in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ftgate_ext.stats import (
    agreement,
    f1,
    mean,
    multiplicity,
    paired_binary,
    power,
    preference,
    proportion,
    quantile,
    ratio,
    resample,
    sequential,
)
from ftgate_ext.stats.limits import NoLimits

Case = Mapping[str, Any]
Answer = dict[str, Any]
Outcome = TypeVar("Outcome")

SEED = 1
RESAMPLES = 100_000
MODELS: dict[str, preference.Verdict] = {
    "A": "candidate_better", "B": "baseline_better", "tie": "tie", "both_bad": "both_bad",
}  # fmt: skip
LETTERS = {verdict: letter for letter, verdict in MODELS.items()}


@dataclass(frozen=True)
class Check:
    """One expected value of a case."""

    path: str
    value: Any
    mode: str
    tolerance: float


# --- one function a category: input -> nested answer


def estimated(outcome: Outcome | NoLimits | None) -> Outcome:
    """What was estimated.

    Raises:
        ValueError: Nothing was, and why.
    """
    if outcome is None or isinstance(outcome, NoLimits):
        raise ValueError(outcome.why if outcome else "no estimate")
    return outcome


def verdict_against(lower: float, upper: float, margin: float) -> str:
    """PASS where the lower limit reaches the margin, FAIL where the upper one does not."""
    if lower >= margin:
        return "PASS"
    return "FAIL" if upper < margin else "INCONCLUSIVE"


def ends(limits: Any) -> list[float | None]:
    """Both limits, or None twice."""
    return [getattr(limits, "lower", None), getattr(limits, "upper", None)]


def paired_interval(case: Case) -> Answer:
    gained, lost, level = case["only_a"], case["only_b"], case["level"]
    n = case["both"] + gained + lost + case["neither"]
    method = case["method"]
    if method == "newcombe_method10":
        found: Any = paired_binary.newcombe10_interval(
            case["both"], gained, lost, case["neither"], level
        )
    else:
        interval: dict[str, Callable[[int, int, int, float], Any]] = {
            "tango_score": paired_binary.tango_interval,
            "bonett_price": paired_binary.bonett_price_interval,
            "wald": paired_binary.wald_interval,
        }
        found = interval[method](gained, lost, n, level)
    lower, upper = ends(found)
    return {
        "diff": found.value, "lower": lower, "upper": upper, "lower_full": lower, "upper_full": upper,
    }  # fmt: skip


def paired_test(case: Case) -> Answer:
    gained, lost = case["only_a"], case["only_b"]
    plain = paired_binary.mcnemar_asymptotic(gained, lost)
    corrected = paired_binary.mcnemar_asymptotic(gained, lost, corrected=True)
    return {
        "chi2": plain.statistic,
        "p": plain.p,
        "p_asymptotic": plain.p,
        "chi2_cc": corrected.statistic,
        "p_cc": corrected.p,
        "p_exact": paired_binary.mcnemar_exact(gained, lost),
        "p_midp": paired_binary.mcnemar_mid_p(gained, lost),
    }


def non_inferiority(case: Case) -> Answer:
    found = paired_binary.non_inferiority(
        case["cand_only"], case["base_only"], case["n"], case["margin"], case["alpha_one_sided"]
    )
    return {
        "diff": found.difference, "z": found.z, "p": found.p, "ci90": ends(found), "verdict": found.verdict,
    }  # fmt: skip


def single_proportion(case: Case) -> Answer:
    k, n, level = case["k"], case["n"], case["level"]
    wilson = proportion.wilson(k, n, level)
    exact = proportion.clopper_pearson(k, n, level)
    one_sided = proportion.clopper_pearson(k, n, 2 * level - 1)
    return {
        "wilson": ends(wilson),
        "clopper_pearson": ends(exact),
        "wilson_lower": wilson.lower,
        "clopper_pearson_lower": exact.lower,
        "one_sided_95_lower": one_sided.lower,
    }


def threshold(case: Case) -> Answer:
    found = proportion.clopper_pearson(case["k"], case["n"], 1 - 2 * case["alpha_one_sided"])
    verdict = verdict_against(found.lower, found.upper, case["threshold"])
    return {"point": found.value, "lower": found.lower, "upper": found.upper, "verdict": verdict}


def unpaired_interval(case: Case) -> Answer:
    found = proportion.newcombe_independent(
        case["k1"], case["n1"], case["k2"], case["n2"], case.get("level", 0.95)
    )
    return {"diff": found.value, "lower": found.lower, "upper": found.upper}


def paired_mean(case: Case) -> Answer:
    a, b = np.array(case["a"]), np.array(case["b"])
    found, flipped = estimated(mean.paired_t(a, b)), estimated(mean.sign_flip(a - b))
    return {
        "mean_diff": found.limits.value,
        "t": found.limits.value / found.standard_error,
        "df": found.df,
        "p": found.p,
        "ci95": ends(found.limits),
        "welch_unpaired_p": mean.welch_p(a, b),
        "exact_signflip_p": flipped.p,
    }


def all_resamples(case: Case) -> Answer:
    found = estimated(resample.exhaustive_bootstrap(case["diffs"]))
    return {
        "mean": found.value,
        "boot_sd": found.standard_error,
        "p_le_0": found.p_not_better,
        "p_lt_0": found.p_worse,
        "bk2012_p_ge_2x": found.p_twice,
    }


def one_of_many_differs(case: Case) -> Answer:
    differences = np.zeros(case["n"])
    differences[: case["differing_items"]] = case["diff_on_that_item"]
    swapped = resample.randomization_test(
        differences, np.zeros(case["n"]), resample.mean_difference, SEED
    )
    drawn = estimated(resample.exhaustive_bootstrap(differences))
    return {"AR_two_sided_p": swapped.p, "koehn_bootstrap_P_not_better": drawn.p_not_better}


def win_rate(case: Case) -> Answer:
    found = preference.win_rate(case["wins"], case["losses"], case["ties"], case.get("both_bad", 0))
    return {
        "win_rate_pct": found.rate_pct,
        "se_pct": found.standard_error_pct,
        "ci95": ends(found.limits),
    }


def swap_table(_: Case) -> Answer:
    return {
        f"{first}|{second}": LETTERS[preference.combine_orders(MODELS[first], MODELS[second])]
        for first, second in itertools.product(MODELS, MODELS)
    }


def position(case: Case) -> Answer:
    looks = {
        (MODELS[pair.split("|")[0]], MODELS[pair.split("|")[1]]): count
        for pair, count in case["counts"].items()
    }
    found = preference.position_bias(looks)
    return {
        "consistency": found.consistency.value,
        "consistency_ci95": ends(found.consistency),
        "inconsistent": found.inconsistent,
        "first_pref": found.first_preferred,
        "second_pref": found.second_preferred,
        "first_bias_binom_p": found.p,
        "bias_index": found.bias_index,
        "win_rate": found.win_rate.limits.value,
        "win_rate_excl_ties": found.win_rate.rate_without_ties,
    }


def judge_correction(case: Case) -> Answer:
    return labels_and_judge(case) if "labelled" in case else error_rates_of_judge(case)


def error_rates_of_judge(case: Case) -> Answer:
    found = agreement.rogan_gladen(
        case["p"], case["n"], case["q0"], case["m0"], case["q1"], case["m1"]
    )
    return {"theta": found.value, "ci95": ends(found)}


def labels_and_judge(case: Case) -> Answer:
    cells, rest = case["labelled"], case["unlabelled"]
    counts = [cells[f"human{human}_judge{judge}"] for human in (1, 0) for judge in (1, 0)]
    labels, judged = np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)  # fmt: skip
    others = np.repeat([1.0, 0.0], [rest["judge1"], rest["judge0"]])
    level = 1 - case.get("alpha", 0.05)
    plain = estimated(agreement.ppi_mean(labels, judged, others, level))
    tuned = estimated(agreement.ppi_plus_plus_mean(labels, judged, others, level))
    return {
        "ppi_lam1_point": plain.limits.value, "ppi_lam1_ci": ends(plain.limits),
        "ppipp_point": tuned.limits.value, "ppipp_ci": ends(tuned.limits),
        "ppipp_lam": tuned.tuning, "human_only": tuned.human_only,
    }  # fmt: skip


def kappa(case: Case) -> Answer:
    table = case["table"]
    found = estimated(agreement.cohens_kappa(table))
    weighted = {scheme: agreement.cohens_kappa(table, scheme) for scheme in ("linear", "quadratic")}
    return {
        "po": found.observed,
        "pe": found.expected,
        "kappa": found.limits.value,
        "se": found.standard_error,
        "ci95": ends(found.limits),
        "weighted_note": f"{len(table)}x{len(table)}",
    } | {
        f"kappa_{scheme}": one.limits.value if isinstance(one, agreement.Kappa) else one.value
        for scheme, one in weighted.items()
    }


def ranking(case: Case) -> Answer:
    games = {tuple(game.split(">")): count for game, count in case["wins"].items()}
    players = sorted({player for game in games for player in game})
    table = [[games.get((one, other), 0) for other in players] for one in players]
    found = estimated(preference.bradley_terry(table))
    return dict(zip(players, found.tolist(), strict=True))


def counts_of_f1(items: list[tuple[int, int, int]], model: int) -> np.ndarray:
    """Items (gold, one prediction, the other) -> one row [tp, fp, fn] an item."""
    gold = np.array([item[0] for item in items])
    predicted = np.array([item[model] for item in items])
    return np.column_stack([gold & predicted, (1 - gold) & predicted, gold & (1 - predicted)])


def micro_f1(case: Case) -> Answer:
    if "items_gold_cand_prod" in case:
        return all_swaps_of_f1([tuple(item) for item in case["items_gold_cand_prod"]])
    cells = case["counts_gold_candpred_prodpred"].items()
    items = [(int(key[0]), int(key[1]), int(key[2])) for key, count in cells for _ in range(count)]
    candidate, baseline = counts_of_f1(items, 1), counts_of_f1(items, 2)
    found = estimated(f1.f1_delta(candidate, baseline))
    rows = np.hstack([candidate, baseline]).astype(float)
    drawn = resample.bootstrap(rows, f1.f1_difference, SEED, RESAMPLES)
    both = [f1.f1_of_sums(counts.sum(axis=0, keepdims=True).astype(float))[0] for counts in (candidate, baseline)]  # fmt: skip
    lower, upper = drawn.lower_one_sided, drawn.upper_one_sided
    return {
        "f1_cand": float(both[0]), "f1_prod": float(both[1]), "diff": found.limits.value,
        "se_delta": found.standard_error, "se_jackknife": f1.f1_jackknife_se(candidate, baseline),
        "z": found.limits.value / found.standard_error, "p_two_sided": found.p,
        "boot_sd": drawn.standard_error, "boot_ci95": ends(drawn.interval), "boot_lb_one_sided95": lower,
        "verdict_gain_ge_0": verdict_against(lower, upper, 0),
        "verdict_gain_ge_3pt": verdict_against(lower, upper, 0.03),
    }  # fmt: skip


def all_swaps_of_f1(items: list[tuple[int, int, int]]) -> Answer:
    found = resample.randomization_test(
        counts_of_f1(items, 1), counts_of_f1(items, 2), f1.f1_difference, SEED
    )
    return {"diff": found.difference, "p_two_sided": found.p}


def ratio_of_means(case: Case) -> Answer:
    found = ratio.fieller(case["a"], case["b"], case["level"])
    contrast = estimated(ratio.contrast_p(case["a"], case["b"], 0.95))
    return {
        "ratio": found.value, "lower": ends(found)[0], "upper": ends(found)[1],
        "t_at_095": contrast.t, "p_one_sided_ge_095": contrast.p,
    }  # fmt: skip


def latency(case: Case) -> Answer:
    first, last = map(int, case["x"].split(".."))
    found = quantile.quantile_limits(range(first, last + 1), case["p"], case["level"])
    return {
        "scipy_low": found.lower, "scipy_high": found.upper,
        "binom_ranks": list(found.ranks), "exact_coverage": found.coverage,
    }  # fmt: skip


def several_p(case: Case) -> Answer:
    alpha = case.get("alpha", 0.05)
    by_holm, together = multiplicity.holm(case["p"]), multiplicity.intersection_union(case["p"], alpha)  # fmt: skip
    return {
        "holm": by_holm.tolist(), "bh": multiplicity.benjamini_hochberg(case["p"]).tolist(),
        "iut_p": together.p, "go": together.all_shown,
        "holm_would_reject_all": bool((by_holm <= alpha).all()),
    }  # fmt: skip


def sample_size(case: Case) -> Answer:
    if "K_list" in case:
        return {
            f"n_K{k}": power.cases_for_miller(
                case["delta"], case["omega2"], case["sigma2_a"], case["sigma2_b"],
                float(k), float(k), case["alpha"], case["power"],
            )
            for k in case["K_list"]
        }  # fmt: skip
    sides = 2 if case["two_sided"] else 1
    if "d" in case:
        n = power.cases_for_paired_t(case["d"], case["alpha"], case["power"], sides)
    else:
        n = power.cases_for_mcnemar(case["p10"], case["p01"], case["alpha"], case["power"], sides)
    return {"n": n, "n_ceil": math.ceil(n)}


def capital_path(case: Case) -> Answer:
    path = sequential.capital(case["x"], case["m0"], case["bet_lambda"])
    return {
        "path": path.tolist(),
        "max": float(path.max()),
        "reject_at_alpha_0_05": bool(path.max() >= 1 / 0.05),
    }


def regression(case: Case) -> Answer:
    passes, runs = case["cand_pass"]
    found = paired_binary.pass_rate_drop(
        passes, runs, case["prod_pass"][0], case["prod_pass"][1], case["suite_size"], case["alpha"]
    )
    return {
        "fisher_one_sided_p": found.p,
        "bonferroni_threshold": found.threshold,
        "verdict": found.verdict,
    }


def variance(case: Case) -> Answer:
    found = estimated(mean.variance_components(case["scores_by_prompt"]))
    return {
        "grand": found.mean,
        "msb": found.mean_square_between,
        "msw": found.mean_square_within,
        "sigma2_b": found.case_variance,
        "se_mean": found.standard_error,
        "se_naive_12": found.naive_standard_error,
    }


def clusters(case: Case) -> Answer:
    errors = estimated(mean.cluster_standard_errors(case["y"], case["cluster"]))
    test = estimated(mean.cluster_t(case["y"], case["cluster"], min_clusters=2))
    return {
        "mean": errors.mean, "se_naive": errors.naive, "se_cr0": errors.cr0,
        "se_cr1_statsmodels": errors.cr1, "se_miller2024_eq": errors.miller, "t_df": errors.df,
        "ci95_t": ends(test.limits),
    }  # fmt: skip


CATEGORIES: dict[str, Callable[[Case], Answer]] = {
    "paired_ci": paired_interval, "paired_test": paired_test, "noninferiority": non_inferiority,
    "single_proportion": single_proportion, "threshold": threshold,
    "unpaired_ci": unpaired_interval, "paired_mean": paired_mean, "bootstrap": all_resamples,
    "approx_randomization": one_of_many_differs, "win_rate": win_rate,
    "judge_aggregation": swap_table, "judge_bias": position, "judge_correction": judge_correction,
    "judge_agreement": kappa, "ranking": ranking, "f1": micro_f1, "ratio": ratio_of_means,
    "latency": latency, "multiplicity": several_p, "power": sample_size,
    "sequential": capital_path, "regression": regression, "variance": variance,
    "cluster": clusters,
}  # fmt: skip


# --- answers against expectations


def answer_case(case: Case) -> dict[str, Any]:
    """Path -> value of everything that the statistics say about a case.

    Raises:
        ValueError: A category that nobody answers, or an input that the statistics refuse.
    """
    category = case["category"]
    if category not in CATEGORIES:
        raise ValueError(f"category {category!r} is not known")
    return paths_of(CATEGORIES[category](case["input"]))


def paths_of(value: Any, path: str = "") -> dict[str, Any]:
    """A nested value -> its leaves by path."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return {path: value}
    return {p: v for key, one in inner for p, v in paths_of(one, f"{path}/{key}").items()}


def checks_of(case: Case) -> list[Check]:
    """What is expected of a case, in whichever form it says so; nothing of a mere question."""
    if "expect" in case:
        return [Check(path, *expected) for path, expected in case["expect"].items()]
    return [Check(c["path"], c["value"], c["mode"], c["tol"]) for c in case.get("checks", [])]


def miss_of(check: Check, answers: Mapping[str, Any]) -> str | None:
    """What is wrong with the answer at one path, or None."""
    if check.mode == "info":
        return None
    if check.path not in answers:
        return f"{check.path}: no answer"
    found = answers[check.path]
    if check.mode == "equal" or not (is_number(found) and is_number(check.value)):
        right = found == check.value and isinstance(found, bool) == isinstance(check.value, bool)
    elif check.mode in ("abs", "rel"):
        allowed = check.tolerance * (abs(check.value) if check.mode == "rel" else 1)
        right = abs(found - check.value) <= allowed
    else:
        return f"{check.path}: mode {check.mode!r} is not known"
    return None if right else f"{check.path}: found {found!r}, expected {check.value!r} ({check.mode} {check.tolerance:g})"  # fmt: skip


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def examine(case: Case) -> tuple[dict[str, Any], list[str]]:
    """The answers that a case asks for, and what is wrong with them."""
    try:
        everything = answer_case(case)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return {}, [f"{type(error).__name__}: {error}"]
    checks = checks_of(case)
    wanted = case.get("answer_paths", [check.path for check in checks])
    answers = {path: everything[path] for path in wanted if path in everything}
    misses = [miss for check in checks if (miss := miss_of(check, everything))]
    misses += [f"{path}: no answer" for path in case.get("answer_paths", []) if path not in answers]
    if not wanted:
        misses.append("nothing is expected of this case")
    return answers, misses


def load_cases(path: Path) -> list[Case]:
    """The cases of a file: a list, or an object with a list called cases."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["cases"] if isinstance(content, dict) else content  # type: ignore[no-any-return]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="reference cases or questions, JSON")
    parser.add_argument("--answers", type=Path, help="write id -> path -> value to this file")
    options = parser.parse_args(arguments)
    cases = load_cases(options.file)
    answers: dict[str, dict[str, Any]] = {}
    missed = 0
    for case in cases:
        answers[case["id"]], misses = examine(case)
        missed += bool(misses)
        print("  ".join([case["id"], "MISS" if misses else "ok", "; ".join(misses)]).rstrip())  # noqa: T201
    if options.answers:
        options.answers.write_text(json.dumps(answers, indent=1, allow_nan=False) + "\n", encoding="utf-8")  # fmt: skip
    values = sum(len(one) for one in answers.values())
    print(f"{len(cases) - missed} of {len(cases)} cases ok, {values} values answered")  # noqa: T201
    return 1 if missed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
