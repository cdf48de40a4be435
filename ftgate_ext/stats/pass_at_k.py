"""The chance that at least one of k tries passes, from n tries of which c passed."""

from __future__ import annotations

from math import comb


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate 1 - C(n - c, k) / C(n, k).

    M. Chen et al., "Evaluating Large Language Models Trained on Code", 2021, equation 1. The obvious
    1 - (1 - c/n)^k is biased downwards.

    Args:
        n: Tries of one problem.
        c: Of them, those that passed.
        k: Tries that somebody will make.

    Raises:
        ValueError: k is not in 1..n, or c not in 0..n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}: expected 1 to n = {n}")
    if not 0 <= c <= n:
        raise ValueError(f"c = {c}: expected 0 to n = {n}")
    return 1 - comb(n - c, k) / comb(n, k)
