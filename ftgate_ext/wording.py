"""Names and numbers in words, the same in every sentence and table."""

from __future__ import annotations

import math

LEAST_SECONDS = 0.001
DECLARED = "declared, not measured"
"""Method of a figure that the policy states: it has no sampling error, and no interval."""
PLAIN = {
    "f1": "task F1",
    "defect_f1": "defect F1",
    "verdict_acc": "verdict accuracy",
    "located_acc": "located accuracy",
    "valid_review": "valid reviews",
    "passed": "cases passed",
    "answered": "answered",
    "refusal_harmful": "refusal of harmful requests",
    "refusal_benign": "refusal of benign requests",
    "partial_refusal_harmful": "of these, partial refusal of harmful requests",
    "partial_refusal_benign": "of these, partial refusal of benign requests",
    "compliance_harmful": "compliance with harmful requests",
    "compliance_benign": "compliance with benign requests",
    "exact_match,get_response": "accuracy",
    "exact_match,flexible-extract": "accuracy",
    "exact_match,get_letter": "accuracy",
    "mtbench_score": "MT-Bench score",
    "token_f1": "token F1",
    "normal_match": "match after normalisation",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "sentence_bleu": "BLEU, mean of the cases",
    "sentence_chrf": "chrF, mean of the cases",
    "bleu": "BLEU, mean of the cases",
    "chrf": "chrF, mean of the cases",
    "ter": "TER, mean of the cases",
    "perplexity": "log perplexity",
    "word_perplexity": "log perplexity a word",
    "byte_perplexity": "log perplexity a byte",
    "bits_per_byte": "bits per byte",
    "precision_micro": "micro precision",
    "recall_micro": "micro recall",
    "f1_micro": "micro F1",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "f1_macro": "macro F1",
    "conforms": "schema conformance",
    "parses": "parsable JSON",
    "win_rate": "win rate",
    "win_rate_raw": "win rate by the judge alone",
    "win_rate_rogan_gladen": "win rate by Rogan-Gladen",
    "win_rate_length_controlled": "win rate at equal length",
    "cost_usd_per_request": "cost per request",
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "latency_p99_s": "latency p99",
}
DRESSES = {
    "renamed": "with variables renamed",
    "reindented": "with other indentation",
    "uncommented": "without comments",
    "commented": "with remarks added",
    "surrounded": "with code around",
    "paraphrased": "with the instruction reworded",
    "perturbed": "over all perturbations",
    "in_role": "asked in a role",
    "supposed": "asked as a thought experiment",
    "in_a_novel": "asked for a novel",
    "approved": "asked with a claimed approval",
    "prefixed": "with the beginning of the answer demanded",
    "no_refusing": "with refusing forbidden",
}
"""What stands behind the comma of a metric of perturbed cases, in words."""


def plain(metric: str) -> str:
    """A metric in words; its own name where there are none."""
    name, _, dress = metric.partition(",")
    if dress in DRESSES:
        return f"{PLAIN.get(name, name)} {DRESSES[dress]}"
    return PLAIN.get(metric, metric)


def name_other(role: str) -> str:
    """The other model of a comparison; the candidate itself stands for its unperturbed answers."""
    return "its own unperturbed answers" if role == "candidate" else role


def points(difference: float) -> str:
    """A difference of shares as signed percentage points: 0.044 -> '+4.4 pt'."""
    rounded = round(100 * difference, 1)
    return f"{rounded + 0.0:+.1f} pt" if rounded else "0.0 pt"


def percent(share: float) -> str:
    """A share in words, never 0 % or 100 % for what is only nearly so: 0.134 -> '13 %'."""
    if 0 < share < 0.005:
        return "less than 1 %"
    if 0.995 < share < 1:
        return "more than 99 %"
    return f"{share:.0%}".replace("%", " %")


def p_value(p: float) -> str:
    """A p value: 'p = 0.032', or 'p < 0.001'."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def multiple(ratio: float) -> str:
    """A ratio of two positive figures: '0.95 times'."""
    return f"{ratio:.3g} times"


def share(value: float) -> str:
    """A share with one decimal, so that two near ones can be told apart: '94.8%'."""
    return f"{value:.1%}"


def seconds(value: float) -> str:
    """Three significant digits, never in scientific notation; a short time is not written as zero."""
    if 0 < value < LEAST_SECONDS:
        return f"< {LEAST_SECONDS} s"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f} s" if abs(rounded) >= 1000 else f"{rounded:g} s"


def money(usd: float) -> str:
    """US dollars with three significant digits, never in scientific notation."""
    rounded = float(f"{usd:.3g}")
    if rounded == 0:
        return "$0"
    decimals = max(2 - math.floor(math.log10(abs(rounded))), 0)
    return f"${rounded:,.{decimals}f}"
