"""The stage `audit`: a run folder in, `audit.json` out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ftgate_ext.audit.needs import find_comparison, find_needs, find_simulable
from ftgate_ext.audit.scenarios import (
    Planner,
    build_scenarios,
    rename_twins,
)
from ftgate_ext.audit.simulate import Material
from ftgate_ext.audit.tally import Tally, count_in_parallel
from ftgate_ext.audit.words import HELD, never_passed, notes_of
from ftgate_ext.audit.world import build_world
from ftgate_ext.costs import reprice
from ftgate_ext.estimates import reaches
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.policy_rules import metrics_of, plain_rules
from ftgate_ext.runs import (
    COMPARISONS,
    POLICY_COPY,
    load_manifest,
    load_row,
    load_rows,
    model_folders,
    write_row,
)
from ftgate_ext.schema import (
    ROLES,
    Audit,
    AuditScenario,
    Comparison,
    Comparisons,
    Decision,
    Judgment,
    Qualification,
    Role,
    RunError,
)
from ftgate_ext.scores import load_model_scores
from ftgate_ext.settings import settings_of
from ftgate_ext.stages import load_qualification
from ftgate_ext.winrate import pair_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.audit.needs import Needs, Simulable
    from ftgate_ext.scores import ModelScores
    from ftgate_ext.settings import Settings

AUDIT = "audit.json"
SIMULATIONS = 2000
FEWEST = 100
RESAMPLES = 1000
"""Of the bootstrap inside a simulation: its noise is that of one more simulation."""
IMPROVEMENT_PT = 5.0


@dataclass(frozen=True)
class RunUnderAudit:
    """What the stages before have found out."""

    policy: Policy
    models: dict[Role, ModelScores]
    judgments: list[Judgment]
    comparisons: Comparisons
    qualification: Qualification | None
    settings: Settings


def audit_run(
    run_dir: Path,
    policy_file: Path | None = None,
    simulations: int = SIMULATIONS,
    seed: int | None = None,
    *,
    improvement_pt: float = IMPROVEMENT_PT,
    processes: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Audit:
    """`audit`: writes audit.json.

    Args:
        run_dir: A compared and decided run.
        policy_file: Other rules than the run's own; models and eval sets must be the same.
        simulations: At least 100.
        seed: The policy's when left out.
        improvement_pt: Percentage points of the planted improvement.
        processes: One a core when left out.
        on_progress: Told how many simulations were just finished.

    Raises:
        RunError: The run is unfinished, not compared or not decided, or holds one model only.
    """
    if simulations < FEWEST or not 0 < improvement_pt <= 100:
        raise RunError(
            f"{simulations} simulations of {improvement_pt:g} pt: expected at least {FEWEST}, and an improvement between 0 and 100 pt."
        )
    run = _load_run(run_dir, policy_file)
    audit = audit_policy(
        run, simulations, run.policy.run.seed if seed is None else seed,
        improvement_pt=improvement_pt, processes=processes, on_progress=on_progress,
    )  # fmt: skip
    write_row(run_dir / AUDIT, audit)
    return audit


def _load_run(run_dir: Path, policy_file: Path | None) -> RunUnderAudit:
    manifest = load_manifest(run_dir)
    folders = model_folders(run_dir)
    absent = {card.role for card in manifest.models if card.absent is not None}
    missing = [c.role for c in manifest.models if c.role not in folders and c.role not in absent]
    if missing:
        raise RunError(
            f"{run_dir}: {', '.join(missing)} has no results yet; `ftgate run` on the same gate.yaml finishes."
        )
    if "candidate" not in folders or len(folders) < 2:
        found = ", ".join(folders) or "none"
        raise RunError(
            f"{run_dir}: models with results: {found}; an audit exchanges the candidate with another model and needs both."
        )
    policy = load_policy(policy_file or run_dir / POLICY_COPY)
    if policy.generation_hash != manifest.generation_hash:
        raise RunError(
            f"{run_dir}: made with other models, eval sets or seed than this policy names; run it with `ftgate run`."
        )
    comparisons = load_row(run_dir / COMPARISONS, Comparisons, "compare")
    load_row(run_dir / "decision.json", Decision, "decide")
    settings = settings_of(policy, comparisons.look)
    models = {
        role: reprice(load_model_scores(folder, settings.fields), settings.prices.get(role))
        for role, folder in folders.items()
    }
    judgments = load_rows(run_dir / JUDGMENTS, Judgment)
    return RunUnderAudit(
        policy, models, judgments, comparisons, load_qualification(run_dir), settings
    )


def audit_policy(
    run: RunUnderAudit,
    simulations: int,
    seed: int,
    *,
    improvement_pt: float = IMPROVEMENT_PT,
    processes: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Audit:
    """How often the policy reaches each verdict where the truth is known.

    Raises:
        RunError: No rule of the policy can be simulated on this run.
    """
    today = datetime.now(timezone.utc).date()
    simulable = find_simulable(run.policy, run.comparisons, run.qualification, today)
    if not simulable.rules:
        raise RunError(
            f"run {run.comparisons.run_id}: no rule of {run.policy.name!r} has evidence that can be simulated; `ftgate decide` says what is missing."
        )
    material = prepare(run, simulable, seed, improvement_pt)
    counted = count_in_parallel(material, simulable.blocking, simulations, processes, on_progress)
    scenarios, resamples = material.scenarios, material.settings.resamples
    rows = [_row(s.name, s.planted, t) for s, t in zip(scenarios, counted.whole, strict=True)]
    if simulable.blocking:
        rows += [
            _row(f"{s.name}, {HELD}", "The same; counts the simulated rules alone.", t)
            for s, t in zip(scenarios, counted.simulated, strict=True)
        ]  # fmt: skip
    notes = notes_of(run.policy, material.world, material.needs, simulable, resamples)
    return Audit(
        run_id=run.comparisons.run_id, policy_hash=run.policy.policy_hash, seed=seed,
        resamples=resamples, scenarios=rows,
        notes=[*never_passed(counted.whole[1], simulable.rules), *notes],
    )  # fmt: skip


def prepare(
    run: RunUnderAudit, simulable: Simulable, seed: int, improvement_pt: float = IMPROVEMENT_PT
) -> Material:
    """Lay out the cases and plan what is planted into them."""
    needs = find_needs(simulable.rules)
    verdicts = pair_verdicts(run.judgments) if needs.win_rates else {}
    world = build_world(run.models, verdicts, _partner(run.models), needs, run.settings)
    planner = Planner(world, run.comparisons, improvement_pt / 100)
    return Material(
        policy=run.policy, world=world, needs=needs, observed=_only_read(run),
        empty={need: _empty(find_comparison(run.comparisons, need)) for need in needs.comparisons},
        levels={
            (x.task, x.metric): x for x in run.comparisons.levels
            if x.role == "candidate" and (x.task, x.metric) in needs.levels
        },
        qualification=run.qualification, today=simulable.today, seed=seed,
        scenarios=rename_twins(build_scenarios(planner, run.policy.rules, simulable.rules)),
        settings=_faster(run.settings, needs),
    )  # fmt: skip


def _faster(settings: Settings, needs: Needs) -> Settings:
    """Fewer resamples, unless a planned look or a selection asks for limits far out in the tail."""
    fewer = replace(settings, resamples=min(RESAMPLES, settings.resamples))
    enough = all(reaches(fewer.alphas(task), fewer) for task in ("*", *needs.tasks))
    return fewer if enough else settings


def _partner(models: dict[Role, ModelScores]) -> Role:
    return next(role for role in ("production", *ROLES[1:]) if role in models)


def _only_read(run: RunUnderAudit) -> Comparisons:
    """The run's comparisons without what no rule reads: rules look through them one by one."""
    named = {(m.task, m.metric) for r in plain_rules(run.policy.rules) for m in metrics_of(r)}
    keep = [
        c
        for c in run.comparisons.comparisons
        if (c.task, c.metric) in named or c.metric == "win_rate"
    ]
    levels = [
        x for x in run.comparisons.levels if x.role == "candidate" and (x.task, x.metric) in named
    ]
    return run.comparisons.model_copy(update={"comparisons": keep, "levels": levels})


def _empty(comparison: Comparison) -> Comparison:
    return Comparison(
        task=comparison.task, metric=comparison.metric, kind=comparison.kind,
        baseline=comparison.baseline, n_pairs=0, n_excluded=0, n_unpaired=comparison.n_unpaired,
        n_failed_repeats=comparison.n_failed_repeats,
        higher_is_better=comparison.higher_is_better,
    )  # fmt: skip


def _row(name: str, planted: str, tally: Tally) -> AuditScenario:
    return AuditScenario(
        name=name, planted=planted, simulations=tally.simulations, go=tally.outcomes["PASS"],
        no_go=tally.outcomes["FAIL"], inconclusive=tally.outcomes["INCONCLUSIVE"],
        failed_rules=dict(tally.failed.most_common()), unsettled_rules=dict(tally.unsettled.most_common()),
    )  # fmt: skip
