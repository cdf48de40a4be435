"""Names and numbers in words, the same in every sentence and table."""

from __future__ import annotations

import math

PLAIN = {
    "f1": "task F1",
    "defect_f1": "defect F1",
    "verdict_acc": "verdict accuracy",
    "located_acc": "located accuracy",
    "valid_review": "valid reviews",
    "passed": "regression cases passed",
    "answered": "answered",
    "refusal_harmful": "refusal of harmful requests",
    "refusal_benign": "refusal of benign requests",
    "conforms": "schema conformance",
    "parses": "parsable JSON",
    "win_rate": "win rate",
    "cost_usd_per_request": "cost per request",
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "latency_p99_s": "latency p99",
}


def plain(metric: str) -> str:
    """A metric in words; its own name where there are none."""
    return PLAIN.get(metric, metric)


def points(difference: float) -> str:
    """A difference of shares as signed percentage points: 0.044 -> '+4.4 pt'."""
    rounded = round(100 * difference, 1)
    return f"{rounded + 0.0:+.1f} pt" if rounded else "0.0 pt"


def money(usd: float) -> str:
    """US dollars with three significant digits, never in scientific notation."""
    rounded = float(f"{usd:.3g}")
    if rounded == 0:
        return "$0"
    decimals = max(2 - math.floor(math.log10(abs(rounded))), 0)
    return f"${rounded:,.{decimals}f}"
