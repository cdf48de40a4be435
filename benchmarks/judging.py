"""What a decision on the win rate costs in calls and dollars, with and without early stopping, direct or in batches.

    python benchmarks/judging.py [--repeats 200] [--pairs 500]

A simulated judge: each pair is a tie with a chance of 20 %, else a win or a loss so that the true win rate
is the one named. The pairs pass through the code that judges a run (`judge.stopping`), which decides when to
stop; a threshold of one half is to be left out. Tokens are those of the shipped pairs in the judge's own prompt,
by the rule of thumb of the client, and of an answer of three sentences; prices are those listed for gpt-4.1.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from itertools import product
from statistics import mean
from typing import TYPE_CHECKING, Literal

from ftgate_ext.inference.answers import estimate_prompt, estimate_tokens
from ftgate_ext.judge.known_pairs import shipped_pairs
from ftgate_ext.judge.pairwise import Look
from ftgate_ext.judge.protocol import CRITERIA, pairwise_prompt
from ftgate_ext.judge.stopping import StoppingPlan, judge_until_decided
from ftgate_ext.prices import load_prices
from ftgate_ext.schema import Judgment

if TYPE_CHECKING:
    from ftgate_ext.judge.pairwise import Side
    from ftgate_ext.schema import PairVerdict, Price

    Way = Literal["none", "obrien_fleming", "e_process"]

MODEL = "gpt-4.1"
TIES = 0.2
TRUE_RATES = (0.50, 0.55, 0.60, 0.70)
METHODS: tuple[Way, ...] = ("none", "obrien_fleming", "e_process")
LOOKS = 5
VERDICTS: tuple[PairVerdict, ...] = ("candidate_better", "baseline_better", "tie")
SENTENCES = "Answer A names the off-by-one error and shows the corrected loop. " * 3
ANSWER = f'{{"reasoning": "{SENTENCES}", "scores_A": {dict.fromkeys(CRITERIA, 5)}, "scores_B": {dict.fromkeys(CRITERIA, 3)}, "verdict": "A_better"}}'  # fmt: skip


def main() -> None:
    """Print one line for each true rate and way of stopping."""
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=200)
    options.add_argument("--pairs", type=int, default=500)
    given = options.parse_args()
    price = load_prices()[MODEL]
    tokens_in, tokens_out = tokens_of_a_call()
    usd = price.token_usd(tokens_in, tokens_out) or 0.0
    print(
        f"{MODEL}: {tokens_in:.0f} tokens in, {tokens_out} out, ${usd:.5f} a call, {given.pairs} pairs"
    )
    print("| true win rate | stopping | decided | calls | direct | batch | batches |")
    print("|---|---|---|---|---|---|---|")
    simulated = Simulated(given.pairs)
    for rate, method in product(TRUE_RATES, METHODS):
        print(simulated.row(rate, method, given.repeats, usd, price))


def tokens_of_a_call() -> tuple[float, int]:
    """Mean tokens of the judge's prompt on the shipped pairs, and of its answer."""
    prompts = [pairwise_prompt(p.question, p.answer_a, p.answer_b) for p in shipped_pairs().pairs]
    sizes = [estimate_prompt({"messages": [{"role": "user", "content": p}]}) for p in prompts]
    return mean(sizes), estimate_tokens(ANSWER)


class Simulated:
    """Pairs, and every verdict that each of them can have."""

    def __init__(self, n: int) -> None:
        """Make the looks and judgments once: only which of them count differs between repeats."""
        sides: tuple[Side, Side] = ("candidate", "baseline")
        self.looks = [
            Look("t", "production", f"c{i}", f"c{i}", "q", "mine", "theirs", first, place)
            for i in range(n)
            for place, first in enumerate(sides)
        ]  # fmt: skip
        self.judgments = {
            (look.case_id, look.round, verdict): Judgment(
                task="t", case_id=look.case_id, doc_hash=look.doc_hash, baseline="production",
                first=look.first, round=look.round, judge_model=MODEL, fingerprint="f", pair_hash="p",
                raw_verdict="tie", verdict=verdict,
            )
            for look in self.looks
            for verdict in VERDICTS
        }  # fmt: skip

    def row(self, rate: float, method: Way, repeats: int, usd: float, price: Price) -> str:
        """One line of the table, over so many repeats."""
        calls, rounds, decided = [], [], 0
        for repeat in range(repeats):
            draw = random.Random(f"{rate}:{repeat}")
            weights = (rate - TIES / 2, 1 - rate - TIES / 2, TIES)
            cases = dict.fromkeys(look.case_id for look in self.looks)
            of = {case: draw.choices(VERDICTS, weights)[0] for case in cases}
            # Judged to the end, one look is taken: that of O'Brien and Fleming with a single stage.
            plan = StoppingPlan(
                "e_process" if method == "e_process" else "obrien_fleming",
                LOOKS if method == "obrien_fleming" else 1, (0.5,), repeat,
            )  # fmt: skip
            _, record = judge_until_decided(self.looks, partial(self._judge, of), plan)
            calls.append(2 * record.n_judged)
            rounds.append(len(record.looks))
            decided += record.decided
        cost = mean(calls) * usd
        return (
            f"| {rate:.2f} | {method} | {decided / repeats:.0%} | {mean(calls):,.0f} | ${cost:.2f} "
            f"| ${cost * (1 - price.batch_discount):.2f} | {mean(rounds):.1f} |"
        )

    def _judge(self, of: dict[str, PairVerdict], looks: list[Look]) -> list[Judgment]:
        return [self.judgments[look.case_id, look.round, of[look.case_id]] for look in looks]


if __name__ == "__main__":
    main()
