"""One rule, the size of its set and an assumption -> what the rule can see. Knows no files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftgate_ext.plan.assumptions import (
    CLUSTER_CORRELATION,
    F1_LEVEL,
    FLIP_RATE,
    EarlierRun,
    Spread,
    assume_spread,
)
from ftgate_ext.plan.measured import plan_budget, plan_quantity_ratio
from ftgate_ext.plan.power import Claim, Scenarios, as_share, blank_of, fill
from ftgate_ext.plan.threshold import plan_threshold
from ftgate_ext.policy_rules import (
    Budget,
    Ceiling,
    Floor,
    NonInferiority,
    NoRegression,
    PerBucket,
    PooledNonInferiority,
    Ratio,
    Superiority,
    WinRate,
)
from ftgate_ext.stats.planning import chance_of_false_regression
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from ftgate_ext.plan.planned import PlannedRule
    from ftgate_ext.plan.sets import Size, SizedSet
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_rules import PlainRule
    from ftgate_ext.settings import Alphas, Settings

GOOD_LEAD = 0.05
GOOD_WIN_RATE_LEAD = 0.10
WORSE_WITHOUT_MARGIN = 0.02
MOST_PAIRS = 10**9
RARE_REGRESSION = 0.01
"""The share of cases that a suite of `n_enough` cases would see broken."""


@dataclass(frozen=True)
class Ground:
    """What a plan stands on."""

    policy: Policy
    sets: dict[str, SizedSet]
    settings: Settings
    earlier: EarlierRun | None

    @property
    def requests(self) -> int:
        """Requests to one model, all sets together."""
        return sum(s.requests for s in self.sets.values())

    def spread(self, task: str, metric: str, against: Any) -> Spread:
        """The spread of a comparison."""
        sized = self.sets[task]
        return assume_spread(
            task, metric, against, is_f1=sized.has_f1(metric), prevalence=sized.positive_share(metric),
            earlier=self.earlier,
        )  # fmt: skip


def plan_rule(rule: PlainRule, ground: Ground) -> PlannedRule:
    """What a rule can see at the size of its set."""
    if isinstance(rule, (Floor, Ceiling)):
        sized = ground.sets[rule.task]
        return plan_threshold(rule, sized, ground.settings.alphas(rule.task), ground.earlier)
    if isinstance(rule, Budget):
        return plan_budget(rule, ground.policy, ground.requests, ground.earlier)
    if isinstance(rule, Ratio) and rule.quantity is not None:
        return plan_quantity_ratio(rule, ground.policy, ground.requests, ground.earlier)
    return _plan_comparison(rule, ground)


def _plan_comparison(rule: PlainRule, ground: Ground) -> PlannedRule:
    if isinstance(rule, NoRegression):
        return _plan_no_regression(rule, ground)
    if isinstance(rule, PerBucket):
        return _plan_per_bucket(rule, ground)
    if isinstance(rule, PooledNonInferiority):
        return _plan_pooled(rule, ground)
    if isinstance(rule, Ratio):
        return _plan_metric_ratio(rule, ground)
    if isinstance(rule, WinRate):
        return _plan_win_rate(rule, ground)
    if isinstance(rule, (Superiority, NonInferiority)):
        return _plan_difference(rule, ground)
    raise TypeError(f"{rule.kind}: no comparison with another model")


def effective_cases(size: Size, spread: Spread) -> float:
    """Independent cases that carry as much as the clustered ones."""
    return float(size.n) if spread.has_clusters else size.effective(CLUSTER_CORRELATION)


def cluster_words(size: Size, spread: Spread) -> str:
    """What is assumed of cases that belong together."""
    if not size.clusters or spread.has_clusters:
        return ""
    return f"; {len(size.clusters)} clusters, correlation {CLUSTER_CORRELATION:.1f} (assumed)"


def _plan_difference(rule: Superiority | NonInferiority, ground: Ground) -> PlannedRule:
    size = ground.sets[rule.task].size_of(rule.metric)
    spread, margin = ground.spread(rule.task, rule.metric, rule.against), rule.margin_pt / 100
    worse = -(2 * margin or WORSE_WITHOUT_MARGIN)
    is_loss = isinstance(rule, NonInferiority)
    good = 0.0 if is_loss else max(GOOD_LEAD, 2 * margin)
    scenarios = Scenarios(0.0, -margin if is_loss else margin, worse, good)
    # Of a loss, `significant` asks for the figure and that harm is not shown, as `evidence` does.
    evidence = "point" if is_loss and rule.evidence == "significant" else rule.evidence
    claim = Claim(
        spread, size.n, effective_cases(size, spread), scenarios.at_limit, evidence,
        ground.settings.alphas(rule.task),
    )  # fmt: skip
    found = fill(blank_of(rule, assumption=spread.words + cluster_words(size, spread)), claim, scenarios)  # fmt: skip
    if is_loss:
        return found.model_copy(update={"provable_margin": claim.smallest_margin})
    return found.model_copy(update={"enough_for": f"for a model {100 * good:g} pt better"})


def _plan_win_rate(rule: WinRate, ground: Ground) -> PlannedRule:
    judge = ground.policy.judge
    if judge is None:
        raise ValueError("judge: none; expected a policy with one")
    n = min(judge.limit or MOST_PAIRS, ground.sets[judge.task].n)
    spread, limit = ground.spread(judge.task, "win_rate", rule.against), rule.threshold - 0.5
    worse, good = -(2 * abs(limit) or WORSE_WITHOUT_MARGIN), max(GOOD_WIN_RATE_LEAD, 2 * limit)
    alphas = ground.settings.alphas(judge.task)
    claim = Claim(spread, n, n, limit, rule.evidence, alphas)
    blank = blank_of(
        rule, task=judge.task, metric="win_rate", n_of="pairs", assumption=spread.words,
        enough_for=f"for a model that wins {percent(0.5 + good)}",
    )  # fmt: skip
    return fill(blank, claim, Scenarios(0.0, limit, worse, good))


def _plan_metric_ratio(rule: Ratio, ground: Ground) -> PlannedRule:
    """Candidate - minimum x other > 0: the linear contrast, which has the ratio's own power."""
    task, metric, minimum = rule.task or "", rule.metric or "", rule.minimum or 0.0
    size, spread = ground.sets[task].size_of(metric), ground.spread(task, metric, rule.against)
    seen = ground.earlier.level(task, metric, rule.against) if ground.earlier else None
    level = seen or (F1_LEVEL if spread.kind == "f1" else 0.8)
    own = level * (1 - level)
    # Var(A - r B) = r Var(A - B) + (1 - r)^2 Var(A) where both vary alike.
    sd = math.sqrt(minimum * spread.standard_error(1) ** 2 + (1 - minimum) ** 2 * own)
    contrast = Spread("mean", spread.discordance, spread.words, sd, spread.has_clusters)
    evidence = "point" if rule.evidence == "significant" else rule.evidence
    lead = (1 - minimum) * level
    scenarios = Scenarios(
        equal=lead, at_limit=0.0, worse=-lead or -WORSE_WITHOUT_MARGIN,
        good=lead if lead > 0 else GOOD_LEAD + lead,
    )  # fmt: skip
    claim = Claim(
        contrast, size.n, effective_cases(size, spread), 0.0, evidence, ground.settings.alphas(task)
    )
    origin = "earlier run" if seen else "assumed"
    words = f"{spread.words}; {rule.against} at {percent(level)} ({origin})"
    found = fill(blank_of(rule, assumption=words + cluster_words(size, spread)), claim, scenarios)
    return found.model_copy(update={"asks": abs(lead) or None})


def _plan_pooled(rule: PooledNonInferiority, ground: Ground) -> PlannedRule:
    """Squared standard errors add: SE = sqrt(sum of SE_i^2) / k."""
    square, n, words = 0.0, 0, []
    for part in rule.benchmarks:
        size = ground.sets[part.task].size_of(part.metric)
        spread = ground.spread(part.task, part.metric, rule.against)
        square += spread.standard_error(effective_cases(size, spread)) ** 2
        n += size.n
        words.append(f"{part.task} {spread.words}{cluster_words(size, spread)}")
    error = math.sqrt(square) / len(rule.benchmarks)
    pooled = Spread("mean", 1.0, "; ".join(words), error * math.sqrt(n), has_clusters=True)
    margin = rule.margin_pt / 100
    evidence = "point" if rule.evidence == "significant" else rule.evidence
    alphas = _strictest(ground.settings.alphas(b.task) for b in rule.benchmarks)
    claim = Claim(pooled, n, n, -margin, evidence, alphas)
    found = fill(
        blank_of(rule, assumption=pooled.words), claim, Scenarios(0.0, -margin, -2 * margin, 0.0)
    )
    return found.model_copy(update={"enough_for": "all sets grown alike"})


def _strictest(alphas: Any) -> Alphas:
    return min(alphas, key=lambda a: a.one_sided)  # type: ignore[no-any-return]


def _plan_per_bucket(rule: PerBucket, ground: Ground) -> PlannedRule:
    spread = ground.spread(rule.task, rule.metric, rule.against)
    sizes = ground.sets[rule.task].bucket_sizes(rule.metric, rule.by)
    blank = blank_of(rule, assumption=spread.words)
    if sizes is None:
        return blank.model_copy(update={"note": f"buckets by {rule.by} not counted: no rows here"})
    judged = [n for n in sizes.values() if n >= rule.min_cases]
    if not judged:
        return blank.model_copy(update={"n": 0})
    margin, evidence = rule.margin_pt / 100, rule.evidence
    if evidence == "significant":
        evidence = "point"
    alphas = ground.settings.alphas(rule.task)
    if evidence == "screen":  # harm is claimed after Holm's correction
        alphas = type(alphas)(alphas.one_sided / len(judged), alphas.two_sided / len(judged))
    claims = [Claim(spread, n, n, -margin, evidence, alphas) for n in judged]
    smallest = min(claims, key=lambda claim: claim.n)
    worse = -(2 * margin or WORSE_WITHOUT_MARGIN)
    found = fill(blank, smallest, Scenarios(0.0, -margin, worse, 0.0))
    others = math.prod(c.chance(0.0) for c in claims if c is not smallest)
    together = {
        name: None if chance is None else as_share(chance * others)
        for name in ("chance_equal", "chance_at_limit", "chance_worse", "chance_good")
        for chance in [getattr(found, name)]
    }
    names = f"{len(judged)} of {len(sizes)} buckets by {rule.by} judged, the smallest has {smallest.n} cases"
    return found.model_copy(
        update={
            **together,
            "n_of": "cases a bucket",
            "note": names,
            "enough_for": "in every bucket",
        }
    )


def _plan_no_regression(rule: NoRegression, ground: Ground) -> PlannedRule:
    sized = ground.sets[rule.task]
    n, runs = sized.size_of(rule.metric).n, sized.spec.repeats
    seen = ground.earlier and ground.earlier.comparison(rule.task, rule.metric, rule.against)
    if seen and seen.n_pairs and seen.counts:
        changed = seen.counts["only_candidate"] + seen.counts["only_baseline"]
        lost = max(changed, 1) / 2 / seen.n_pairs
        words = f"{percent(2 * lost)} of cases change, half of them for the worse (earlier run, n = {seen.n_pairs:,})"
        clean = (1 - lost) ** n
    else:
        words = f"each case passes {percent(1 - FLIP_RATE)} of the time (assumed)"
        words += f", majority of {runs}" if runs > 1 else ", asked once"
        clean = 1 - chance_of_false_regression(n, 1 - FLIP_RATE, runs)
    return blank_of(
        rule, n=n, assumption=words, mde=1 - 0.2 ** (1 / n), chance_equal=clean,
        chance_worse=clean * (1 - WORSE_WITHOUT_MARGIN) ** n, chance_good=clean,
        n_enough=math.ceil(math.log(0.2) / math.log(1 - RARE_REGRESSION)),
        enough_for=f"to see {percent(RARE_REGRESSION)} of cases broken",
    )  # fmt: skip
