"""The judge's page: may it vote, what was it examined with, what did it show, what did it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Table
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    Scale,
    format_estimate,
    format_money,
    p_equals,
    short_hash,
)
from ftgate_ext.report.tables import COLUMNS, lay_out
from ftgate_ext.report.text import clean_line, wrap_line

if TYPE_CHECKING:
    from ftgate_ext.schema import (
        BiasFigure,
        BiasName,
        CanaryResult,
        Estimate,
        KnownPairFigures,
        Qualification,
    )

PROBLEMS = {
    "prose": "prose instead of a verdict", "two_verdicts": "more than one verdict",
    "unknown_verdict": "a verdict outside the four", "score_out_of_range": "a score outside 1 to 5",
    "wrong_shape": "JSON of another form", "empty": "an empty answer", "truncated": "cut off at its token limit",
    "refused": "refused by the provider", "failed": "request failed", "not_recorded": "not among the recorded verdicts",
}  # fmt: skip

BIASES: dict[BiasName, tuple[str, str]] = {
    "first_position": (
        "Does it prefer what it reads first?",
        "of the pairs whose verdict followed the position, the share won by the first",
    ),
    "longer_at_equal_quality": (
        "Does it prefer length to brevity?",
        "of two equally good answers, how often it preferred the longer",
    ),
    "longer_gains": (
        "Does it miss short good answers?",
        "agreement where the better answer is longer, minus where it is shorter",
    ),
    "formatted": (
        "Does it prefer lists and bold type?",
        "of two equally good answers, how often it preferred the formatted one",
    ),
    "own_family": (
        "Does it favour its own family?",
        "where it departs from the label on an answer of its family, how often in its favour",
    ),
}


@dataclass(frozen=True)
class JudgeView:
    """The judge's part of the report."""

    summary: list[str]
    facts: list[Fact]
    tables: list[Table] = field(default_factory=list)


def view_judge(qualification: Qualification | None) -> JudgeView:
    """Everything there is to say about the judge."""
    if qualification is None:
        return JudgeView([], [Fact("Judge", "none: no pairs were judged")])
    tables = []
    if qualification.known is not None:
        tables += [_examination(qualification.known), _kinds(qualification.known)]
    if qualification.canaries:
        tables.append(_traps(qualification.canaries))
    return JudgeView(_summary(qualification), _facts(qualification), [t for t in tables if t.rows])


def _summary(found: Qualification) -> list[str]:
    """What somebody needs to know who has never heard of judges."""
    verdict = (
        f"{found.judge_model} may vote: it passed its examination."
        if found.fit
        else f"{found.judge_model} may not vote. Every rule that needs its word is INCONCLUSIVE, and its figures are no evidence."
    )
    known = found.known
    if known is None:
        return [verdict]
    asked = f"Before a model may judge others, it is asked about {known.n_pairs} pairs of answers whose better one is known, each in both orders"
    traps = f", and about {len(found.canaries)} traps: empty, manipulated or nonsensical answers beside a good one" if found.canaries else ""  # fmt: skip
    return [verdict, f"{asked}{traps}."]


def _examination(known: KnownPairFigures) -> Table:
    rows = [
        _row("Does it find the better answer?", known.agreement, "share of pairs with the known verdict; opposite verdicts in the two orders count as a tie"),
        _row("How far beyond guessing?", known.kappa, _kappa_meaning(known), Scale(is_share=False)),
        _row("In the order of the file?", known.agreement_as_given, "the same share, of first looks at the answers as they stand in the file"),
        _row("With the answers exchanged?", known.agreement_exchanged, "the same share, of looks at the answers the other way round"),
        _row("Right whichever stands first?", known.right_in_both, "share of pairs judged rightly in both orders"),
        _row("Does it agree with itself?", known.consistency, "share of pairs with the same verdict in both orders"),
        _row("Are its marks right?", known.grade_kappa, "weighted kappa of correctness, 1 to 5, with the known marks", Scale(is_share=False)),
        _row("Are its marks stable?", known.score_kappa, "weighted kappa of all marks in the two orders", Scale(is_share=False)),
        *(_bias_row(bias) for bias in known.biases),
    ]  # fmt: skip
    return Table(
        caption=f"What the judge showed on {known.n_pairs} known pairs ({known.source}, sha256 {short_hash(known.sha256)})",
        columns=["Question", "Found", "What the figure is"],
        rows=[row for row in rows if row],
        notes=[f"{known.n_unparsed} pairs without a readable verdict and {known.n_failed} with a failed request are left out."],
    )  # fmt: skip


def _kappa_meaning(known: KnownPairFigures) -> str:
    meaning = "Cohen's kappa with the known verdicts: 0 is guessing, 1 is perfect"
    if known.kappa_lower is None:
        return meaning
    return f"{meaning}; what counts is its one-sided 95 % limit, {known.kappa_lower:.2f}"


def _row(
    question: str, estimate: Estimate | None, meaning: str, scale: Scale | None = None
) -> list[str]:
    if estimate is None:
        return []
    figure = format_estimate(estimate, scale=scale or Scale())
    return [question, figure, meaning]


def _bias_row(bias: BiasFigure) -> list[str]:
    question, meaning = BIASES[bias.name]
    if bias.estimate is None:
        return [question, f"{NOT_MEASURED}: no pair shows it", meaning]
    test = f", {p_equals(bias.p)}" if bias.p is not None else ""
    even = "; 50 % is no preference" if bias.name != "longer_gains" else "; 0 is no preference"
    is_difference = bias.name == "longer_gains"
    figure = format_estimate(bias.estimate, scale=Scale(), difference=is_difference)
    return [question, figure + test, meaning + even]


def _kinds(known: KnownPairFigures) -> Table:
    rows = [[k.kind, str(k.n), str(k.n_right)] for k in known.by_kind]
    return Table(
        caption="What it sees and what it overlooks",
        columns=["What is wrong with the worse answer", "Pairs", "Judged rightly"],
        rows=rows, numeric=(1, 2), is_folded=True,
    )  # fmt: skip


def _traps(canaries: list[CanaryResult]) -> Table:
    words = {
        "canary": "the trap", "good": "the good answer", "tie": "tie", "both_bad": "both bad", "none": "nothing readable",
    }  # fmt: skip
    rows = [
        [c.kind, *(words[outcome] for outcome in c.outcomes), "FAIL" if c.won else "PASS"]
        for c in sorted(canaries, key=lambda c: not c.won)
        if len(c.outcomes) == 2
    ]
    return Table(
        caption="Traps: each stood beside a real good answer, in both orders",
        columns=["Trap", "It preferred, trap first", "It preferred, trap second", "Outcome"],
        rows=rows, outcomes=(3,),
        notes=["A padded duplicate is as good as what it copies; it wins only if it is preferred in both orders."],
    )  # fmt: skip


def _facts(found: Qualification) -> list[Fact]:
    facts = [
        Fact("Judge", found.judge_model),
        Fact("Qualified", "yes" if found.fit else "no, it may not vote"),
        *(Fact("Reason", reason) for reason in found.reasons),
        Fact("Pairs", _pairs(found)),
        *(_own_pairs(found) if found.n_pairs or found.known is None else []),
    ]
    if found.problems:
        kinds = ", ".join(f"{PROBLEMS.get(kind, kind)} {n}" for kind, n in found.problems.items())
        facts.append(Fact("Without a verdict, by kind", f"{kinds}; in all that was asked"))
    if found.n_repaired:
        facts.append(
            Fact("Repaired", f"{found.n_repaired} verdicts were taken out of a code fence, or from behind thoughts")
        )  # fmt: skip
    facts += _lock(found)
    facts += [Fact("Note", note) for note in found.notes]
    calls = f" for {found.n_calls} calls" if found.n_calls else ""
    facts.append(Fact("Cost", format_money(found.cost_usd) + calls))
    facts.append(Fact("Fingerprint", short_hash(found.fingerprint) or "none"))
    return facts


def _own_pairs(found: Qualification) -> list[Fact]:
    """What it showed on the run's own pairs."""
    return [
        Fact("Consistency", _consistency(found)),
        Fact("First-position share", _position(found)),
        Fact("Unparsed verdicts", f"{found.n_unparsed} pairs"),
        Fact("Failed requests", f"{found.n_failed} pairs"),
    ]


def _lock(found: Qualification) -> list[Fact]:
    facts = []
    if found.anchors is not None:
        a = found.anchors
        told = f"{a.n_changed} of {a.n_looks} verdicts changed since the qualification, {a.n_changed_before} when it was asked twice there ({p_equals(a.p)})"
        facts.append(Fact("Anchors", told + (": it drifted" if a.drifted else ": no drift")))
    noise = found.rubric_noise
    if noise is not None and noise.noise_sd is not None:
        share = f", {noise.icc:.0%} of the spread is between answers" if noise.icc is not None else ""  # fmt: skip
        kappa = f", weighted kappa {noise.kappa.value:.2f}" if noise.kappa else ""
        facts.append(
            Fact("Noise of single scores", f"standard deviation {noise.noise_sd:.2f} of a step on {noise.n_answers} answers scored twice{share}{kappa}")
        )  # fmt: skip
    return facts


def _pairs(found: Qualification) -> str:
    if found.n_pairs == 0:
        return "none of this run were judged"
    return f"{found.n_pairs} in both orders, of which {found.n_identical} with identical answers (ties without a call)"


def _consistency(found: Qualification) -> str:
    if found.consistency is None:
        return f"{NOT_MEASURED}: no pair has two readable verdicts"
    return f"{format_estimate(found.consistency, scale=Scale())} of pairs judged alike in both orders"  # fmt: skip


def _position(found: Qualification) -> str:
    share, p = found.first_position_share, found.first_position_p
    if share is None:
        return "no verdict followed the position"
    test = f", {p_equals(p)} for a fair coin" if p is not None else ""
    return f"{format_estimate(share, scale=Scale())}{test}, among verdicts that followed the position"  # fmt: skip


def qualification_text(found: Qualification) -> str:
    """The page as plain text for a terminal."""
    view = view_judge(found)
    lines = _wrapped([*view.summary, *(f"{fact.term}: {fact.text}" for fact in view.facts)])
    for table in view.tables:
        flexible = tuple(range(1, len(table.columns)))
        rows = lay_out(table.columns, table.rows, flexible=flexible, right=table.numeric)
        lines += ["", *_wrapped([table.caption]), *rows, *_wrapped(table.notes)]
    return "\n".join(lines)


def _wrapped(sentences: list[str]) -> list[str]:
    return [line for s in sentences for line in wrap_line(clean_line(s), COLUMNS)]
