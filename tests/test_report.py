"""The report: the same figures in Markdown and HTML, and nothing that a model wrote comes alive."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    make_policy,
)
from reports import (
    HOSTILE,
    MARKDOWN,
    Page,
    audit,
    card,
    cell_of,
    comparison,
    comparisons,
    decision,
    estimate,
    everywhere,
    facts_of,
    finding,
    level,
    manifest,
    material,
    operations,
    qualification,
    real_material,
    rule,
    scenario,
    squeeze,
    strings_of,
    text_of_markdown,
)

from ftgate_ext import schema
from ftgate_ext.decision import decide
from ftgate_ext.report import render_html, render_markdown
from ftgate_ext.report.audit import share_of_runs
from ftgate_ext.report.figures import format_level, format_money, format_p, format_seconds
from ftgate_ext.report.tables import comparison_markdown, comparison_table, decision_table
from ftgate_ext.report.text import (
    cell_width,
    clean_block,
    clean_line,
    escape_markdown,
    fence_markdown,
    prose_markdown,
)
from ftgate_ext.report.view import build_view
from ftgate_ext.schema import (
    Bound,
    Bucket,
    Comparisons,
    Estimate,
    EvalSetUse,
    Example,
    Findings,
    Level,
    OperationRatio,
    Operations,
    Role,
    RuleResult,
)

TOO_SLOW_S = 2.0


def test_both_forms_say_everything_that_the_view_says() -> None:
    """Every string of the view stands in the Markdown and in the HTML."""
    source = material()
    html = squeeze(Page(render_html(source)).text)
    markdown = squeeze(text_of_markdown(render_markdown(source)))
    for string in strings_of(build_view(source)):
        assert squeeze(string) in html
        assert squeeze(string) in markdown


def test_both_forms_show_the_same_numbers_equally_often() -> None:
    """A figure cannot be missing, doubled or rounded differently in one of the two."""
    source = material()
    number = re.compile(r"[-+]?\d[\d.,]*\d|\d")
    html = Counter(number.findall(Page(render_html(source)).text))
    assert html == Counter(number.findall(text_of_markdown(render_markdown(source))))
    assert html["+4.4"] > 3


def test_figures_are_those_of_the_decision() -> None:
    """What a rule asked, saw and concluded is printed as decision.json has it."""
    source = material()
    html = Page(render_html(source)).text
    markdown = text_of_markdown(render_markdown(source))
    for result in source.decision.rules:
        for words in (result.asked, result.seen, result.sentence):
            assert words in html
            assert words in markdown


@pytest.mark.parametrize(
    ("verdict", "outcome", "words"),
    [
        ("GO", "PASS", "tuned may ship: 1 of 1 rules hold"),
        ("NO-GO", "FAIL", "tuned must not ship: 1 of 1 rules failed"),
        ("INCONCLUSIVE", "INCONCLUSIVE", "Nobody can say yet whether tuned may ship"),
    ],
)
def test_the_verdict_is_one_sentence(verdict: str, outcome: str, words: str) -> None:
    """A manager reads first whether it ships, and only GO says that it does."""
    source = material(decision=decision(rule(outcome=outcome), verdict=verdict))
    markdown = render_markdown(source)
    assert words in markdown
    assert markdown.startswith(f"# {verdict}: ")
    assert ("Ship tuned." in markdown) == (verdict == "GO")


def test_sections_stand_in_their_order() -> None:
    """Summary, findings, analysis (a) to (h), recommendations, next steps."""
    headings = re.findall(r"^##+ (.*)$", render_markdown(material()), re.MULTILINE)
    wanted = ["Executive Summary", "Key Findings", "Detailed Analysis", "(a)", "(b)", "(c)", "(d)"]
    places = [
        next(i for i, h in enumerate(headings) if h.startswith(w))
        for w in [*wanted, "(e)", "(f)", "(g)", "(h)", "Recommendations", "Next Steps"]
    ]
    assert places == sorted(places)


def test_hostile_text_makes_no_element_in_html() -> None:
    """Whatever a model or a user wrote, the page has the elements of a harmless one."""
    harmless, hostile = (
        Page(render_html(everywhere("harmless"))),
        Page(render_html(everywhere(HOSTILE))),
    )
    strange = {"code", "td"}  # `code` in prose; cells are counted below
    assert Counter(t for t in hostile.tags if t not in strange) == Counter(
        t for t in harmless.tags if t not in strange
    )
    assert hostile.tags.count("td") == harmless.tags.count("td")
    assert hostile.scripts == harmless.scripts
    assert hostile.tags.count("script") == 1
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert all(v.startswith("#") for name, v in hostile.attributes if name in {"href", "src"})


def tokens_of(markdown: str) -> Counter[str]:
    tokens = MARKDOWN.parse(markdown)
    inline = [child for token in tokens for child in token.children or []]
    return Counter(token.type for token in [*tokens, *inline])


def test_hostile_text_makes_no_markup_in_markdown() -> None:
    """No HTML, no link, no image, no heading and no further table cell."""
    hostile = tokens_of(render_markdown(everywhere(HOSTILE)))
    harmless = tokens_of(render_markdown(everywhere("harmless")))
    for kind in ("html_inline", "html_block", "link_open", "image", "em_open", "s_open"):
        assert hostile[kind] == 0
    for kind in ("heading_open", "td_open", "th_open", "table_open", "fence", "list_item_open"):
        assert hostile[kind] == harmless[kind]


def test_answers_stand_in_fences_that_they_cannot_close() -> None:
    """The code blocks of the Markdown are the answers, whole."""
    answer = "```\nout\n``````\n~~~\n# not a heading"
    example = Example(case_id="c", role="candidate", expected="e", answer=answer)
    source = material(findings=Findings(findings=[finding(examples=[example])]))
    fences = [t.content for t in MARKDOWN.parse(render_markdown(source)) if t.type == "fence"]
    assert fences == ["e\n", answer + "\n"]


def test_control_characters_reach_nobody() -> None:
    """No escape code, no change of writing direction, in any of the outputs."""
    source = everywhere(HOSTILE)
    outputs = [
        render_html(source), render_markdown(source), decision_table(source.decision),
        comparison_table(source.comparisons), comparison_markdown(source.comparisons),
    ]  # fmt: skip
    for output in outputs:
        assert not [c for c in output if c not in "\n\t" and not c.isprintable()]
        assert "[31m" not in output


def test_templates_in_answers_are_text() -> None:
    """Jinja does not run what a model wrote."""
    assert "{{ 7 * 7 }}" in render_html(everywhere("{{ 7 * 7 }}"))
    assert "49" not in render_markdown(everywhere("{{ 7 * 7 }}")).split("## Detailed")[0]


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_escaped_markdown_shows_the_text_itself(text: str) -> None:
    """In a list item and in a cell, Markdown shows exactly the cleaned text."""
    expected = clean_line(text)
    item = MARKDOWN.render(f"- {escape_markdown(text)}\n")
    assert Page(item).text == expected
    cells = MARKDOWN.parse(f"| a | b |\n| --- | --- |\n| x | {escape_markdown(text)} |\n")
    shown = [c for t in cells for c in t.children or []]
    assert "".join(c.content for c in shown) == f"abx{expected}"
    assert sum(t.type == "td_open" for t in cells) == 2


@given(st.text(alphabet="`~a \n<&[*_#-1.|\\", max_size=40))
@settings(max_examples=150, deadline=None)
def test_markup_characters_are_shown_in_every_place(text: str) -> None:
    """Escaping holds for texts that are nothing but markup, as prose and in a fence."""
    item = MARKDOWN.render(f"- {prose_markdown(text)}\n")
    assert squeeze(Page(item).text) == squeeze(clean_line(text))
    assert not {"a", "em", "strong", "img", "h1", "blockquote"} & set(Page(item).tags)
    (fence,) = MARKDOWN.parse(fence_markdown(text))
    assert fence.type == "fence"
    assert (
        fence.content == clean_block(text) + ("\n" if clean_block(text) else "") or not text.strip()
    )


def test_missing_pieces_are_named_not_zero() -> None:
    """No judge, no latency, no cost, no failures, no comparison: each says so."""
    bare = operations("candidate", latency_p50_s=None, latency_p95_s=None, latency_p99_s=None)
    bare = bare.model_copy(
        update={"cost_usd_per_request": None, "input_tokens": None, "output_tokens": None}
    )
    missing = comparison(difference=None, unavailable="no scored case in common", tests=[])
    source = material(
        qualification=None,
        findings=Findings(findings=[]),
        comparisons=comparisons(comparisons=[missing], operations=[bare]),
    )
    for text in (text_of_markdown(render_markdown(source)), Page(render_html(source)).text):
        assert "No pairs were judged" in text
        assert "No failures were found" in text
        assert "latency p50 not measured" in text
        assert "Production: not measured." in text
        assert "not measured: no scored case in common" in text
        assert "$0 " not in text
        assert "0.00 s" not in text


def test_an_absent_frontier_is_a_row_with_its_reason() -> None:
    """A model that took no part stands in the matrix, says why, and has no figures."""
    models = [card("candidate", "tuned"), card("frontier", "big", absent="no key is set")]
    markdown = render_markdown(material(manifest=manifest(models=models)))
    table = build_view(material(manifest=manifest(models=models))).models
    column = [row[table.columns.index("frontier")] for row in table.rows]
    assert column[:2] == ["big", "absent: no key is set"]
    assert column.count("not measured") == 8
    assert "big took no part: No key is set." in markdown
    assert "The policy names no frontier model." in render_markdown(material())


def test_a_disqualified_judge_has_no_win_rate_to_show() -> None:
    """Its reasons stand in the findings, and its figures are marked as no evidence."""
    rate = comparison(
        task="shadow", metric="win_rate", kind="win_rate", candidate_estimate=estimate(0.7, 0.5, 0.9),
        counts={"wins": 20, "losses": 5},
    )  # fmt: skip
    judged = comparisons(comparisons=[comparison(), rate])
    unfit = qualification(fit=False, reasons=["Position bias: always the first."])
    spoiled = render_markdown(material(comparisons=judged, qualification=unfit))
    assert "judge-1 was disqualified" in spoiled
    assert "Position bias: always the first." in spoiled
    assert "Win rate against production" not in spoiled
    assert "no evidence: the judge is not qualified" in spoiled
    sound = render_markdown(material(comparisons=judged))
    assert "Win rate against production 70.0% (95 % CI 50.0% to 90.0%, n = 40), p < 0.001." in sound


def test_an_approval_is_shown_where_the_verdict_rests_on_it() -> None:
    """A GO by approval says so in the summary, the rules and the recommendations."""
    held = rule("late", approved="FAIL approved by A. Boss until 2026-02-01: known")
    markdown = render_markdown(material(decision=decision(held, verdict="GO", code=0)))
    assert "only by an approval" in markdown
    assert "Held only by an approval" in markdown
    assert (
        "late rests on an approval: FAIL approved by A. Boss until 2026-02-01: known." in markdown
    )


def test_an_approval_that_nothing_needed_is_no_crutch() -> None:
    """Approved cases that did not regress do not make the rule rest on the approval."""
    kept = rule("kept", kind="no_regression", approved="a approved by A. Boss")
    markdown = render_markdown(material(decision=decision(kept, verdict="GO", code=0)))
    assert "only by an approval" not in markdown


def test_an_effect_where_less_is_better_is_drawn_the_right_way_round() -> None:
    """The drawing's right is the candidate's good, whatever the sign of the difference."""
    worse = comparison(metric="refusal_benign", higher_is_better=False, kind="binary")
    result = rule(
        kind="non_inferiority", metric="refusal_benign", threshold=-0.1, lower_one_sided=-0.09,
        upper_one_sided=0.003,
    )  # fmt: skip
    source = material(comparisons=comparisons(comparisons=[worse]), decision=decision(result))
    (drawn,) = build_view(source).rules
    assert drawn.plot is not None
    assert drawn.plot.reference < drawn.plot.lower < drawn.plot.value < drawn.plot.upper
    facts = {fact.term: fact.text for fact in drawn.facts}
    assert facts["Interval"].startswith("95 % CI -9.8 pt to +1.2 pt")
    assert "turned" in facts["Interval"]


def test_next_steps_follow_from_what_is_missing() -> None:
    """A limit to raise, cases to mend, another judge, and the commands for it."""
    rules = [
        rule("better", "INCONCLUSIVE"),
        rule("steady", "FAIL", kind="no_regression", sentence="1 of 40 regressed: golden-0007."),
        rule("liked", "INCONCLUSIVE", kind="win_rate", estimate=None, task=None),
    ]
    unfit = qualification(fit=False, reasons=["Biased."])
    steps = build_view(material(decision=decision(*rules), qualification=unfit)).next_steps
    words = " ".join(step.text for step in steps)
    assert "Raise or drop the limit of golden in gate.yaml: 40 of 60 rows" in words
    assert "golden-0007" in words
    assert "another judge than judge-1" in words
    assert {"ftgate gate gate.yaml", "ftgate check gate.yaml"} <= {s.command for s in steps}


def test_the_page_needs_nothing_but_itself() -> None:
    """One accessible file: no external resource, a language, captions and scopes."""
    html = render_html(material())
    page = Page(html)
    names = {name for name, _ in page.attributes}
    assert "link" not in page.tags
    assert "src" not in names
    assert ("lang", "en") in page.attributes
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.tags.count("th") == sum(name == "scope" for name in [n for n, _ in page.attributes])
    assert page.tags.count("h1") == 1
    assert len(html) < 2_000_000


def test_every_rule_with_limits_has_a_drawing_with_words() -> None:
    """Drawings can be read without being seen; a count of cases and single limits have none."""
    kinds = [
        "superiority", "non_inferiority", "pooled_non_inferiority", "win_rate", "floor", "ceiling",
        "budget", "ratio", "no_regression", "per_bucket", "any_route",
    ]  # fmt: skip
    rules = [rule(kind, kind=kind) for kind in kinds]
    rules.append(rule("one limit", kind="budget", lower_one_sided=None))
    source = material(decision=decision(*rules))
    drawn = [r.name for r in build_view(source).rules if r.plot]
    assert drawn == kinds[:8]
    page = Page(render_html(source))
    assert any("the rule asks for at least +1.0 pt" in text for text in page.drawn)
    assert page.tags.count("title") == 1 + page.attributes.count(("role", "img"))


def test_the_terminal_table_ends_with_the_verdict() -> None:
    """The last line is the verdict and the exit code, before it every rule and warning."""
    table = decision_table(decision(rule("better", "FAIL"), warnings=["frontier took no part"]))
    assert table.splitlines()[-1] == "Verdict: NO-GO (exit code 1)"
    assert "FAIL     better" in table
    assert "Note: frontier took no part" in table


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_terminal_tables_fit_into_100_columns(text: str) -> None:
    """Whatever stands in names and sentences, wide characters included."""
    reply = rule(text, "FAIL", asked=text, seen=text, sentence=text, next_step=text)
    odd = comparison(task=text or "t", metric=text)
    lines = decision_table(decision(reply, warnings=[text])).splitlines()
    lines += comparison_table(comparisons(comparisons=[comparison(), odd])).splitlines()
    assert max(cell_width(line) for line in lines) <= 100
    assert lines.count("Verdict: NO-GO (exit code 1)") >= 1


def test_the_comparison_table_names_both_sides() -> None:
    """Candidate, other, difference, interval, p and n of every comparison; then operations."""
    table = comparison_table(comparisons())
    row = next(line for line in table.splitlines() if line.startswith("task F1"))
    for words in ("54.4%", "production", "50.0%", "+4.4 pt", "-1.2 to +9.8 pt", "< 0.001", "40"):
        assert words in row
    assert "$0.00123" in table


def test_comparisons_of_many_models_are_tables() -> None:
    """Levels have a column a model, differences a row a model, operations a row a model."""
    roles: list[Role] = ["candidate", "production", "base", "frontier"]
    many = comparisons(
        roles=roles,
        levels=[level(role) for role in roles],
        comparisons=[comparison(role) for role in roles[1:]],
        operations=[operations(role) for role in roles],
    )
    markdown = comparison_markdown(many)
    assert "| Metric | candidate | production | base | frontier | Method |" in markdown
    assert markdown.count("| task F1 | ") == 4
    assert markdown.count("| 39 ok, 1 failed |") == 4


def test_own_intervals_are_flagged_as_overlapping_or_apart() -> None:
    """Taken from the comparison, else from the two levels; unknown stays unknown."""
    far = level("production", value=0.1)
    far = far.model_copy(update={"estimate": estimate(0.1, 0.05, 0.15)})
    known = comparisons(comparisons=[comparison(intervals_overlap=True)])
    derived = comparisons(levels=[level("candidate"), far])
    unknown = comparisons(levels=[level("candidate")])
    flags = [
        cell_of(build_view(material(comparisons=c)).differences[0], "Own intervals")
        for c in (known, derived, unknown)
    ]
    assert flags == ["overlap", "apart", "not comparable"]


def test_metrics_that_are_no_shares_are_no_percentages() -> None:
    """A mean of 12.3 words is not 1230 %."""
    levels = [level("candidate", "words", 12.3), level("production", "words", 11.0)]
    words = comparison(metric="words", kind="mean", difference=estimate(1.3, 0.2, 2.4))
    markdown = render_markdown(
        material(comparisons=comparisons(levels=levels, comparisons=[words]))
    )
    assert "12.3 (95 % CI 0.4 to 0.6, n = 40)" in markdown
    assert "+1.3" in markdown
    assert "1230" not in markdown


def test_a_limit_above_one_does_not_make_a_share_a_number() -> None:
    """The limits of a mean may leave 0 to 1; 98 % stays 98 %."""
    high = level("candidate", "passed", 0.98).model_copy(
        update={"estimate": estimate(0.98, 0.95, 1.01)}
    )
    (table,) = build_view(material(comparisons=comparisons(levels=[high]))).levels
    assert cell_of(table, "candidate").startswith("98.0% (95 % CI 95.0% to 101.0%")


def test_files_lie_in_no_folder_of_this_machine() -> None:
    """Absolute paths of eval sets are reduced to names."""
    markdown = render_markdown(material())
    assert "| golden.jsonl | 121212121212 |" in markdown
    assert "/data/" not in markdown


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        (None, "not measured"), (0.0, "$0"), (0.0012345, "$0.00123"), (5.61e-8, "$0.0000000561"),
        (2.0, "$2.00"), (12.345, "$12.3"), (0.9996, "$1.00"), (1234.5, "$1,230"),
    ],
)  # fmt: skip
def test_money_has_three_significant_digits(usd: float | None, words: str) -> None:
    """Without scientific notation, and unknown is not free."""
    assert format_money(usd) == words


def test_small_times_and_p_values_are_not_zero() -> None:
    """What is too small to show says so."""
    assert [format_seconds(s) for s in (None, 0.001, 0.0316, 12.5)] == ["not measured", "0.001 s", "0.0316 s", "12.5 s"]  # fmt: skip
    assert [format_seconds(s) for s in (0.0001, 1234.5)] == ["< 0.001 s", "1,230 s"]
    assert [format_p(p) for p in (0.0004, 0.001, 0.948)] == ["< 0.001", "0.001", "0.948"]


# --- what is said about each rule


def test_too_few_changes_to_show_anything_are_called_so() -> None:
    """Where even all changes for the better would go unseen, the report says it and names no effect."""
    open_rule = rule("better", "INCONCLUSIVE", mde=None)
    blind = comparison(kind="binary", mde=None)
    content = material(decision=decision(open_rule), comparisons=comparisons(comparisons=[blind]))
    assert facts_of(content, "better")["What this set can see"].startswith("no true difference")
    assert "shows no difference: too few" in render_markdown(content)


def test_a_rule_says_how_sure_it_is_and_what_its_set_can_see() -> None:
    """Limits with their level, the bare reading with its chance, the visible effect, the way out."""
    open_rule = rule(
        "better", "INCONCLUSIVE", point_outcome="PASS", chance_unchanged_passes=0.336, mde=0.061,
        cases_needed=3400, next_step="About 3,400 cases in all would settle it.",
    )  # fmt: skip
    wide = comparison(n_clusters=12, repeats=5, n_excluded=2)
    facts = facts_of(
        material(decision=decision(open_rule), comparisons=comparisons(comparisons=[wide])), "better"
    )  # fmt: skip
    assert facts["Interval"] == "95 % CI -1.2 pt to +9.8 pt around +4.4 pt"
    assert facts["Limits that decide"].startswith("-0.3 pt to +9.0 pt, one-sided 95 % each;")
    assert facts["Evidence level"].startswith("significant:")
    assert facts["Method and tests"] == "exact; paired bootstrap p < 0.001"
    assert facts["n"] == "40 cases, in 12 clusters, 5 answers each, 2 more left out"
    assert facts["What this set can see"].startswith("a true difference of 6.1 pt or more, in 80")
    assert "a model that differs in nothing would pass this point rule 34 %" in facts["As a bare point rule"]  # fmt: skip
    assert facts["To settle it"] == "About 3,400 cases in all would settle it."
    assert "Next step" not in facts
    assert "Approval" not in facts


def test_limits_at_another_level_say_so() -> None:
    """Looks and selections widen the limits; a reader is told the level and why."""
    wide = rule(level=1 - 0.05 / 3, evidence="proven")
    facts = facts_of(material(decision=decision(wide)), "better")
    assert "one-sided 98.33 % each, above 95 %" in facts["Limits that decide"]
    assert facts["Evidence level"] == (
        "proven: the one-sided 98.33 % limit of the figure clears the mark"
    )
    assert [format_level(x) for x in (None, 0.95, 0.995, 0.9998)] == ["95 %", "95 %", "99.5 %", "99.98 %"]  # fmt: skip


def test_missing_limits_say_why() -> None:
    """No interval is named with its reason, in the rule and in both tables."""
    few = "3 clusters; at least 8 are needed"
    bare = Estimate(value=0.044, n=40, method=f"no interval: {few}")
    lacking = comparison(difference=bare, no_interval=few, tests=[], n_clusters=3)
    alone = level("candidate").model_copy(update={"estimate": bare, "no_interval": few})
    held = rule(estimate=bare, lower_one_sided=None, upper_one_sided=None, evidence="point")
    source = material(
        decision=decision(held), comparisons=comparisons(comparisons=[lacking], levels=[alone])
    )
    facts = facts_of(source, "better")
    assert facts["Limits that decide"].startswith(f"none: {few};")
    assert "Interval" not in facts
    assert "Method and tests" not in facts
    view = build_view(source)
    assert cell_of(view.differences[0], "Interval") == f"no interval: {few}"
    assert few in cell_of(view.levels[0], "candidate")
    assert any("clusters (3)" in note for note in view.differences[0].notes)
    assert "no interval: 3" in comparison_table(source.comparisons)


def test_costs_and_ceilings_are_written_in_their_own_units() -> None:
    """A rule holds the negative of what must be small; nobody reads minus dollars."""
    cost = rule(
        "affordable", kind="budget", task=None, metric="cost_usd_per_request", against=None,
        estimate=estimate(0.0012, 0.001, 0.0014), threshold=-0.002, lower_one_sided=-0.00137,
        upper_one_sided=-0.00103, evidence="proven",
    )  # fmt: skip
    cap = rule(
        "few refused", kind="ceiling", against=None, estimate=estimate(0.04, 0.01, 0.08),
        threshold=-0.1, lower_one_sided=-0.07, upper_one_sided=-0.015,
    )  # fmt: skip
    source = material(decision=decision(cost, cap))
    assert facts_of(source, "affordable")["Limits that decide"] == (
        "$0.00103 to $0.00137, one-sided 95 % each; the rule asks for at most $0.00200"
    )
    assert facts_of(source, "few refused")["Limits that decide"].startswith("1.5% to 7.0%,")
    drawn = [r.plot for r in build_view(source).rules]
    assert all(p and p.reference < p.lower < p.value < p.upper for p in drawn)
    assert [p.reference_text for p in drawn if p] == ["asked at most $0.00200", "asked at most 10.0%"]  # fmt: skip


def test_a_latency_without_upper_limit_says_that_none_exists() -> None:
    """Fifty requests hold no upper limit of p95: said in the rule and in the operations."""
    why = "no upper limit of the 95% quantile exists at 50 requests"
    p95 = Estimate(value=2.3, lower=1.9, level=0.95, n=50, method="order statistics")
    bound = Bound(estimate=p95, lower_one_sided=1.95, no_interval=why)
    slow = operations("candidate", bounds={"latency_p95_s": bound})
    asked = rule(
        "fast", "INCONCLUSIVE", kind="budget", task=None, metric="latency_p95_s", against=None,
        estimate=p95, threshold=-3.0, lower_one_sided=None, upper_one_sided=-1.95, evidence="proven",
    )  # fmt: skip
    source = material(
        decision=decision(asked),
        comparisons=comparisons(operations=[slow, operations("production")]),
    )
    facts = facts_of(source, "fast")
    assert facts["Limits that decide"].startswith("1.95 s or more, no upper limit, one-sided 95 %")
    assert why in facts["Limits that decide"]
    table = build_view(source).operations[0]
    assert cell_of(table, "candidate") == f"2.3 s (95 % CI 1.9 s or more, no upper limit: {why}, n = 50)"  # fmt: skip
    assert cell_of(table, "production") == "2.35 s"


def test_ratios_to_other_models_have_a_table() -> None:
    """Cost and latency as multiples, with limits, or why there are none."""
    cheap = Estimate(value=0.16, lower=0.15, upper=0.17, level=0.95, n=40, method="Fieller, t(39)")
    ratios = [
        OperationRatio(quantity="cost_usd_per_request", baseline="production", ratio=Bound(estimate=cheap)),
        OperationRatio(quantity="latency_p95_s", baseline="production", unavailable="no latency"),
    ]  # fmt: skip
    table = build_view(material(comparisons=comparisons(ratios=ratios))).operations[0]
    assert cell_of(table, "Candidate takes") == "0.16 times"
    assert cell_of(table, "Interval") == "95 % CI 0.15 times to 0.17 times"
    assert cell_of(table, "Candidate takes", 1) == "not measured: no latency"
    assert "0.16 times" in comparison_table(comparisons(ratios=ratios))


def costly(role: Role = "candidate", **more: Any) -> Operations:
    values: dict[str, Any] = {
        "cost_usd_p50": 0.001, "cost_usd_p95": 0.004, "cost_usd_max": 0.02, "cost_usd_total": 0.0494,
        "cached_input_tokens": 4000, "cost_method": "tokens",
    }  # fmt: skip
    return operations(role, **(values | more))


LISTED = schema.Price(
    listed="gpt-4.1", as_of="2025-04-14", source="a page", input_usd_per_mtok=2,
    cached_input_usd_per_mtok=0.5, output_usd_per_mtok=8,
)  # fmt: skip
BOX = schema.Price(usd_per_gpu_hour=2, gpus=4, utilisation=0.5)


def operation_table(caption: str, **more: Any) -> Any:
    tables = build_view(material(comparisons=comparisons(**more))).operations
    return next(t for t in tables if t.caption.startswith(caption))


def test_costs_show_their_distribution_and_what_they_were_computed_from() -> None:
    """Mean, median, p95, most and total; the price with its date, and the machine in words."""
    rows = [
        costly("production"),
        costly("candidate", cost_method="machine_time", cached_input_tokens=None, requests_per_hour=1234.5),
    ]  # fmt: skip
    table = operation_table("Cost of a request", operations=rows, prices={"production": LISTED, "candidate": BOX})  # fmt: skip

    assert [row[0] for row in table.rows] == ["candidate", "production"]
    assert cell_of(table, "Most") == "$0.0200"
    assert cell_of(table, "of these cached") == "not measured"
    assert cell_of(table, "of these cached", 1) == "4,000"
    machine, api = table.notes
    assert "$8.00 an hour of the machine: 4 GPUs at $2.00" in machine
    assert "works in 50 % of the paid hours" in machine
    assert "answered 1,234 requests an hour" in machine
    assert "listed as gpt-4.1, 2025-04-14, a page" in api
    assert "$0.500 for cached input" in api


@pytest.mark.parametrize(
    ("more", "price", "words"),
    [
        ({"cost_method": "recorded"}, None, "as the journal recorded it"),
        ({"cost_method": "declared_throughput"}, schema.Price(usd_per_hour=3, requests_per_hour=500), "over the declared 500 requests an hour"),
        ({"cached_input_tokens": None}, LISTED, "all count in full"),
        ({"cost_usd_per_request": None, "cost_usd_total": None}, None, "the policy states no price"),
        ({"cost_usd_per_request": None, "cost_usd_total": None}, LISTED, "did not count the tokens of every request"),
    ],
)  # fmt: skip
def test_every_way_to_a_cost_has_its_words(more: dict[str, Any], price: Any, words: str) -> None:
    """And so has every reason why there is none."""
    prices = {} if price is None else {"candidate": price}
    rows = [costly(**more), costly("production")]
    assert words in operation_table("Cost of a request", operations=rows, prices=prices).notes[0]


def test_a_cost_from_estimated_tokens_is_marked_as_a_guess() -> None:
    """In the table, below it, and among what to keep in mind."""
    guess = costly(
        cost_usd_per_request=None, cost_usd_total=None, cost_usd_p50=None, cost_usd_p95=None,
        cost_usd_max=None, cost_usd_estimated=0.0021, n_tokens_estimated=7,
    )  # fmt: skip
    made = {"operations": [guess, costly("production")], "prices": {"candidate": LISTED}}
    table = operation_table("Cost of a request", **made)

    assert cell_of(table, "Mean") == "about $0.00210, a guess"
    assert cell_of(table, "Total") == "not measured"
    assert cell_of(table, "Tokens out") == "678 (some estimated)"
    assert "7 requests" in table.notes[0]
    warnings = build_view(material(comparisons=comparisons(**made))).first.warnings
    assert any("tokens of 7 requests were estimated" in w for w in warnings)


def test_an_old_price_is_something_to_keep_in_mind() -> None:
    """Counted from the day of the run, not from today."""
    models = [card("candidate", "tuned"), card("production", "api", price=LISTED)]
    young = manifest(models=models, created_at="2025-06-01T00:00:00+00:00")

    assert any("production: the listed price of gpt-4.1 is of 2025-04-14, 628 days old" in w for w in build_view(material(manifest=manifest(models=models, created_at="2027-01-02T00:00:00+00:00"))).first.warnings)  # fmt: skip
    assert not build_view(material(manifest=young)).first.warnings


def break_even(**more: Any) -> schema.BreakEven:
    values: dict[str, Any] = {
        "api": "frontier", "usd_per_hour": 2.0, "usd_per_request": estimate(0.001, 0.0008, 0.00125),
        "requests_per_hour": estimate(2000, 1600, 2500), "requests_per_day": 48_000,
        "requests_per_month": 1_440_000, "capacity_per_hour": 2200, "machines": 1, "pays": True,
        "pays_at_limits": False,
    }  # fmt: skip
    return schema.BreakEven(**(values | more))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "One machine can serve that (measured throughput). At the upper limit it could not."),
        ({"pays": False, "machines": 7, "utilisation_needed": 6.7}, "that volume takes 7 machines, each of which is paid"),
        ({"pays": False, "machines": 2, "utilisation": 0.6, "utilisation_needed": 0.9}, "it would pay if the machine worked in 90 % of the paid hours or more"),
        ({"capacity_per_hour": None, "pays": None, "unavailable": "no throughput"}, "No throughput."),
    ],
)  # fmt: skip
def test_the_break_even_stands_in_the_frontier_section(more: dict[str, Any], words: str) -> None:
    """With its interval, and whether the machine can serve that volume at all."""
    models = [card("candidate", "tuned"), card("production", "live"), card("frontier", "big")]
    source = material(
        manifest=manifest(models=models),
        comparisons=comparisons(
            roles=["candidate", "production", "frontier"], break_even=[break_even(**more)], prices={"candidate": BOX},
        ),
    )  # fmt: skip
    view = build_view(source)

    said = " ".join(next(f.sentences for f in view.key_findings if "rontier" in f.topic))
    assert "cheaper than frontier from 48,000 (95 % CI 38,400 to 60,000) requests a day on" in said
    assert words in said
    table = next(t for t in view.operations if t.caption.startswith("From which volume"))
    assert cell_of(table, "A month") == "1,440,000"
    assert table.notes[0].startswith("Against frontier: ")
    assert words in table.notes[0]


def test_no_break_even_has_its_reason() -> None:
    """A candidate without a price by the hour; a frontier whose cost is not known."""
    models = [card("candidate", "tuned"), card("production", "live"), card("frontier", "big")]
    roles = ["candidate", "production", "frontier"]
    unknown = schema.BreakEven(api="frontier", usd_per_hour=2.0, unavailable="the cost of frontier's requests was not measured")  # fmt: skip

    def said(**more: Any) -> str:
        source = material(manifest=manifest(models=models), comparisons=comparisons(roles=roles, **more))  # fmt: skip
        findings = build_view(source).key_findings
        return " ".join(next(f.sentences for f in findings if "rontier" in f.topic))

    assert "No break-even volume: the candidate has no price by the hour." in said()
    assert "No break-even volume: The cost of frontier's requests was not measured." in said(break_even=[unknown])  # fmt: skip


def test_interleaved_latencies_say_so() -> None:
    """At which concurrency, who was not measured, and that prompts may have been cached."""
    run = schema.LatencyRun(
        began_at="2026-01-02T03:20:00+00:00", concurrency=1, roles=["candidate"], n_cases={"golden": 40},
        absent={"production": "lm-eval's backend hf answers in batches"},
    )  # fmt: skip
    rows = [
        operations("candidate", latency_from="interleaved", n_latency=40, n_latency_failed=2, concurrency=1, concurrency_median=1, concurrency_min=1, first_token_p50_s=0.2, output_tokens_per_s=41.26),
        operations("production", n_latency=39, concurrency_median=12.5, concurrency_min=1),
    ]  # fmt: skip
    table = operation_table("Latency over all tasks", operations=rows, latency_run=run)

    assert cell_of(table, "Measured") == "in turn"
    assert cell_of(table, "Requests") == "40 (2 failed)"
    assert cell_of(table, "First token p50") == "0.2 s"
    assert cell_of(table, "First token p50", 1) == "not measured"
    assert cell_of(table, "Tokens out a second") == "41.3"
    assert cell_of(table, "In flight", 1) == "12.5 (1 to 16)"
    notes = " ".join(table.notes)
    assert "measured interleaved at concurrency 1" in notes
    assert "not finished" in notes
    assert (
        "production was not measured in turn: lm-eval's backend hf answers in batches."
        in notes.replace("Lm", "lm")
    )
    assert "cached prompt" in notes


def test_latencies_of_different_times_and_loads_are_warned_about() -> None:
    """One after the other, and with clearly different numbers of requests in flight."""
    rows = [
        operations("candidate", concurrency_median=16, concurrency_min=4),
        operations("production", concurrency_median=4, concurrency_min=1),
    ]
    source = material(comparisons=comparisons(operations=rows))

    assert any(
        "different times" in n for n in operation_table("Latency over", operations=rows).notes
    )
    assert any(
        "different concurrency: 16 and 4 requests" in w for w in build_view(source).first.warnings
    )
    alike = [rows[0], operations("production", concurrency_median=12)]
    assert not build_view(material(comparisons=comparisons(operations=alike))).first.warnings


def test_routes_stand_under_their_rule() -> None:
    """A nested table of the rules inside, one a route where the routes are told apart."""
    inner = [
        rule("nearly as good", "INCONCLUSIVE", kind="ratio", next_step="Add cases."),
        rule("five times cheaper", kind="ratio", task=None, metric="cost_usd_per_request"),
    ]
    flat = rule("worth it", "INCONCLUSIVE", kind="any_route", estimate=None, parts=inner, evidence="any")  # fmt: skip
    route = rule("cheap", "INCONCLUSIVE", kind="route", parts=inner)
    told = rule("worth it", "INCONCLUSIVE", kind="any_route", estimate=None, parts=[route], evidence="any")  # fmt: skip
    for outer, caption in (
        (flat, "The rules of its routes"),
        (told, "Route 'cheap': INCONCLUSIVE"),
    ):
        source = material(decision=decision(outer))
        (found,) = build_view(source).rules
        (table,) = found.tables
        assert table.caption == caption
        assert [row[:2] for row in table.rows] == [
            ["nearly as good", "INCONCLUSIVE"],
            ["five times cheaper", "PASS"],
        ]
        assert table.notes == ["nearly as good: Add cases."]
        assert found.plot is None
        assert "- PASS, five times cheaper" in decision_table(source.decision)


def bucket(name: str, value: float, outcome: str = "PASS") -> RuleResult:
    return rule(
        name, outcome, kind="bucket", estimate=Estimate(value=value, n=40, method="by hand"),
        lower_one_sided=value - 0.1, upper_one_sided=value + 0.1, threshold=-0.05, evidence="screen",
    )  # fmt: skip


def test_buckets_stand_under_their_rule_worst_first() -> None:
    """Name, n, difference and limits of every bucket that was judged."""
    parts = [bucket("go", 0.02), bucket("rust", -0.08, "FAIL")]
    screened = rule(
        "no bucket worse", kind="per_bucket", estimate=None, parts=parts, evidence="screen"
    )
    source = material(decision=decision(screened, verdict="GO", code=0))
    (found,) = build_view(source).rules
    (table,) = found.tables
    assert table.rows == [
        ["rust", "40", "-8.0 pt", "-18.0 pt to +2.0 pt", "no"],
        ["go", "40", "+2.0 pt", "-8.0 pt to +12.0 pt", "yes"],
    ]
    first, second = table.plots
    assert first is not None
    assert second is not None
    assert first.reference == second.reference
    assert found.sureness == "No harm was found, which is no proof."


# --- the two readings, and how often the gate is wrong


def test_the_two_readings_stand_side_by_side_where_they_differ() -> None:
    """Rule by rule with a plain reason, and the verdict of both."""
    rules = [
        rule("better", "INCONCLUSIVE", point_outcome="PASS", evidence="proven"),
        rule("kept", "PASS", kind="non_inferiority", point_outcome="FAIL", evidence="screen"),
        rule("same", "FAIL", point_outcome="FAIL"),
        rule("unasked", "INCONCLUSIVE", estimate=None),
    ]
    source = material(decision=decision(*rules, point_verdict="GO"))
    readings = build_view(source).readings
    (table,) = readings.tables
    assert [row[:3] for row in table.rows] == [
        ["better", "PASS", "INCONCLUSIVE"],
        ["kept", "FAIL", "PASS"],
    ]
    assert "limits leave room" in cell_of(table, "Why")
    assert "only where harm is shown" in cell_of(table, "Why", 1)
    assert "By bare figures the verdict is GO;" in readings.lines[0]
    assert "Read as bare figures:** GO, not NO-GO" in render_markdown(source)
    assert "Read as bare figures: GO" in decision_table(source.decision)


def test_readings_that_agree_take_one_line() -> None:
    """Nothing to compare makes no table."""
    agreeing = decision(rule(point_outcome="PASS"), verdict="GO", code=0, point_verdict="GO")
    readings = build_view(material(decision=agreeing)).readings
    assert readings.lines == [
        "Bare figures and evidence agree on every rule and on the verdict, GO."
    ]
    assert readings.tables == []
    older = build_view(material(decision=decision(rule()))).readings
    assert older.lines == ["The reading by bare figures was not recorded."]


def test_a_chance_result_is_named_with_its_test() -> None:
    """Where significance lacks, the reason names the test and its p."""
    tests = [schema.TestResult(name="McNemar mid-p", p=0.21)]
    source = material(
        decision=decision(rule(outcome="INCONCLUSIVE", point_outcome="PASS")),
        comparisons=comparisons(comparisons=[comparison(tests=tests)]),
    )
    (table,) = build_view(source).readings.tables
    assert "chance alone makes such differences too (McNemar mid-p, p = 0.210)" in cell_of(table, "Why")  # fmt: skip


def test_an_audit_shows_shares_with_their_error() -> None:
    """Verdicts where the truth is known, the rules that block most, and what was left as it is."""
    source = material(audit=audit(scenario(unsettled_rules={"safe": 4})))
    view = build_view(source).audit
    verdicts, rules = view.tables
    assert verdicts.rows == [
        ["nothing changed", "no true difference", "2 % ± 1", "48 % ± 5", "50 % ± 5", "400"]
    ]
    assert cell_of(rules, "Rules that failed most often") == (
        "better: 25 % ± 4; safe: 10 % ± 3; late: 8 % ± 3; and 1 more"
    )
    assert "Ratios are left as they are." in view.notes
    assert "ftgate audit RUN" not in render_markdown(source)


def test_an_audit_of_another_policy_says_so() -> None:
    """Error rates of other rules are not these rules' error rates."""
    notes = build_view(material(audit=audit(policy_hash="ef" * 32))).audit.notes
    assert any("another policy (efefefefefef)" in note for note in notes)


def test_without_an_audit_the_command_is_named() -> None:
    """One line, no table."""
    source = material()
    assert build_view(source).audit.tables == []
    assert "`ftgate audit RUN`" in render_markdown(source)


@pytest.mark.parametrize(
    ("k", "n", "words"),
    [
        (0, 400, "0 % (at most 1 %)"), (400, 400, "100 % (at least 99 %)"), (1, 400, "less than 1 %"),
        (200, 400, "50 % ± 5"), (399, 400, "more than 99 %"), (0, 0, "not simulated"),
    ],
)  # fmt: skip
def test_simulated_shares_never_claim_more_than_was_simulated(k: int, n: int, words: str) -> None:
    """None of 400 is not never; a share has its 95 % Monte-Carlo error."""
    assert share_of_runs(k, n) == words


# --- tables of comparisons


def test_differences_say_what_they_can_see_and_how_cases_hang_together() -> None:
    """Own figures, the visible effect, clusters, repeats and further tests."""
    tests = [schema.TestResult(name=name, p=p) for name, p in (("mid-p", 0.2), ("paired t", 0.19))]
    rich = comparison(
        mde=0.061, n_clusters=12, repeats=5, tests=tests, kind="binary",
        counts={"both": 20, "only_candidate": 6, "only_baseline": 4, "neither": 10},
    )  # fmt: skip
    (table,) = build_view(material(comparisons=comparisons(comparisons=[rich]))).differences
    wanted = {
        "Candidate": "54.4%", "Other": "50.0%", "95 % CI": "-1.2 to +9.8 pt", "p": "0.200",
        "Can see": "6.1 pt", "Counts": "6 only candidate, 4 only the other",
        "Further tests": "paired t p = 0.190",
    }  # fmt: skip
    assert {column: cell_of(table, column) for column in wanted} == wanted
    notes = " ".join(table.notes)
    assert "Method for task F1: exact; p by mid-p." in notes
    assert "clusters (12)" in notes
    assert "asked 5 times" in notes
    terminal = comparison_table(comparisons(comparisons=[rich]))
    assert "6.1 pt" in terminal
    assert "asked 5 times" in terminal


def test_columns_that_say_nothing_are_left_out() -> None:
    """No counts, nothing left out, no further test: no column."""
    (table,) = build_view(material()).differences
    assert not {"Counts", "Left out", "Further tests", "Can see"} & set(table.columns)


def test_rubric_scores_say_their_scale() -> None:
    """A judge's 1 to 5 are shares here, and both models' means stand beside the difference."""
    rubric = comparison(
        task="shadow", metric="rubric_clarity", kind="mean", mde=0.03,
        candidate_estimate=estimate(0.7, 0.6, 0.8), baseline_estimate=estimate(0.65, 0.6, 0.7),
    )  # fmt: skip
    judged = comparisons(comparisons=[rubric])
    (table,) = build_view(material(comparisons=judged)).differences
    assert [cell_of(table, c) for c in ("Metric", "Candidate", "Other")] == ["rubric clarity", "70.0%", "65.0%"]  # fmt: skip
    assert any("(x - 1) / 4" in note for note in table.notes)
    assert "(x - 1) / 4" in " ".join(comparison_table(judged).split())
    unfit = material(
        comparisons=judged, qualification=qualification(fit=False, reasons=["Biased."])
    )
    assert "not qualified" in cell_of(build_view(unfit).differences[0], "Metric")


def test_both_sides_of_a_win_rate_mirror_each_other() -> None:
    """The other's win rate is what is left, and the intervals overlap exactly where 50 % is inside."""
    rates = [
        comparison(
            baseline=role, task="shadow", metric="win_rate", kind="win_rate",
            candidate_estimate=estimate(0.5 + value, 0.4, 0.9), difference=estimate(value, low, 0.2),
        )
        for role, value, low in (("production", 0.06, 0.01), ("base", 0.04, -0.01))
    ]  # fmt: skip
    (table,) = build_view(material(comparisons=comparisons(comparisons=rates))).differences
    assert cell_of(table, "Other") == "44.0%"
    assert [cell_of(table, "Own intervals", i) for i in (0, 1)] == ["apart", "overlap"]


def test_the_tasks_of_a_group_are_folded_behind_it() -> None:
    """A benchmark of many tasks is one table, its parts one more that opens on demand."""
    uses = [
        EvalSetUse(task=t, file=f"{t}.jsonl", sha256="12" * 32, n_rows=40, group=g, config_source="x")
        for t, g in (("golden", None), ("mmlu_a", "mmlu"), ("mmlu_b", "mmlu"))
    ]  # fmt: skip
    tasks = ["golden", "mmlu", "mmlu_a", "mmlu_b"]
    levels = [level(role, task=t) for t in tasks for role in ("candidate", "production")]
    source = material(
        manifest=manifest(eval_sets=uses),
        comparisons=comparisons(levels=levels, comparisons=[comparison(task=t) for t in tasks]),
    )
    view = build_view(source)
    for tables in (view.levels, view.differences):
        assert [(t.caption.split(":")[0], len(t.rows), t.is_folded) for t in tables] == [
            ("golden", 1, False), ("mmlu (2 tasks as one)", 1, False), ("The 2 tasks of mmlu", 2, True),
        ]  # fmt: skip
    assert render_html(source).count('<details class="folded">') == 2


def test_a_drawn_benchmark_leads_and_its_sample_is_what_to_raise() -> None:
    """Without a golden set the first rule's metric leads; of a group all tasks' rows are counted."""
    uses = [
        EvalSetUse(
            task=t, file=f"{t}.jsonl", sha256="12" * 32, n_rows=700, limit=2, drawn=True, group="mmlu",
            config_source="x",
        )
        for t in ("mmlu_a", "mmlu_b")
    ]  # fmt: skip
    open_rule = rule(
        "kept", "INCONCLUSIVE", kind="non_inferiority", task="mmlu",
        metric="exact_match,get_response", estimate=estimate(0.02, -0.1, 0.14), threshold=-0.02,
        cases_needed=469,
    )  # fmt: skip
    first = level("candidate", "exact_match,strict-match", task="gsm8k")
    ruled = [level(r, "exact_match,get_response", task="mmlu") for r in ("candidate", "production")]
    source = material(
        decision=decision(open_rule), manifest=manifest(eval_sets=uses),
        comparisons=comparisons(levels=[first, *ruled], comparisons=[]),
    )  # fmt: skip
    view = build_view(source)
    assert any(
        "Raise or drop the sample of mmlu in gate.yaml: 4 of 1,400 rows" in step.text
        for step in view.next_steps
    )
    assert "accuracy on mmlu" in render_markdown(source).lower()


# --- the first page


def test_the_first_page_says_why_and_what_next_in_plain_words() -> None:
    """Verdict, a plain reason a rule, and the first steps with the number of cases."""
    rules = [
        rule("better", "INCONCLUSIVE", point_outcome="PASS", cases_needed=3400, next_step="About 3,400."),
        rule("lucky", "PASS", evidence="point", kind="non_inferiority", lower_one_sided=-0.2),
        rule("screened", "PASS", evidence="screen", kind="non_inferiority", lower_one_sided=-0.2),
    ]  # fmt: skip
    source = material(decision=decision(*rules, verdict="INCONCLUSIVE", code=3))
    page = render_markdown(source).split("## Key Findings")[0]
    assert "It looks good so far, but chance alone could explain it. In figures:" in page
    assert "1. Do not ship tuned yet." in page
    assert "better (n = 40, about 3,400 cases in all needed)" in page
    assert "limit of golden in gate.yaml and add cases" in page
    assert "**Passed on a bare figure:** lucky" in page
    assert "**Passed a screen only:** screened" in page


def test_a_go_says_what_it_rests_on() -> None:
    """Rules that are shown, counted, screened or only looked at are told apart on the first page."""
    rules = [
        rule("better", lower_one_sided=0.02, evidence="proven"),
        rule("steady", kind="no_regression", point_outcome="PASS"),
        rule("worth it", kind="any_route", estimate=None),
        rule("lucky", evidence="point"),
    ]
    source = material(decision=decision(*rules, verdict="GO", code=0))
    page = render_markdown(source).split("## Key Findings")[0]
    for line in (
        "**Shown beyond chance:** better", "**Counted case by case:** steady",
        "**Held by a route:** worth it", "**Passed on a bare figure:** lucky",
    ):  # fmt: skip
        assert line in page
    assert "Do not ship" not in page
    assert (
        "It meets the mark, beyond what chance explains." in facts_of(source, "better")["How sure"]
    )


def test_every_open_rule_has_a_step() -> None:
    """Whatever its kind: a rule that does not hold is named under Next Steps."""
    kinds = [
        "superiority", "non_inferiority", "pooled_non_inferiority", "per_bucket", "win_rate", "floor",
        "ceiling", "no_regression", "budget", "ratio", "any_route",
    ]  # fmt: skip
    for outcome in ("FAIL", "INCONCLUSIVE"):
        for kind in kinds:
            task = None if kind in ("pooled_non_inferiority", "budget", "any_route") else "golden"
            one = rule("the rule", outcome, kind=kind, task=task, next_step="Do it.")
            steps = build_view(material(decision=decision(one))).next_steps
            assert any(
                "the rule" in s.text or "regressed cases" in s.text or "judge does" in s.text for s in steps
            ), (kind, outcome)  # fmt: skip


def test_more_cases_are_not_asked_for_where_they_are_out_of_reach() -> None:
    """Ten thousand times the set is no step; the rule's own advice stands there instead."""
    far = rule("far", "INCONCLUSIVE", cases_needed=1_000_000, next_step="Set another threshold.")
    steps = [s.text for s in build_view(material(decision=decision(far))).next_steps]
    assert "far: Set another threshold." in steps
    assert not any(text.startswith(("Add cases", "Raise")) for text in steps)


# --- the report against the decision

SHARE = st.floats(min_value=-0.3, max_value=0.3).map(lambda x: round(x, 4))
SPREAD = st.floats(min_value=0.002, max_value=0.2).map(lambda x: round(x, 4))
EVIDENCE = st.sampled_from(["point", "significant", "proven", "screen"])
RULES: list[dict[str, Any]] = [
    {"kind": "superiority", "margin_pt": 1},
    {"kind": "non_inferiority", "margin_pt": 2},
    {"kind": "win_rate", "threshold": 0.52},
    {"kind": "floor", "threshold": 0.6},
    {"kind": "ceiling", "threshold": 0.7},
    {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 0.002},
    {"kind": "budget", "name": "fast", "quantity": "latency_p95_s", "maximum": 1.5},
    {"kind": "ratio", "task": TASK, "metric": METRIC, "against": "production", "minimum": 0.95},
    {"kind": "ratio", "name": "cheaper", "quantity": "cost_usd_per_request", "against": "production", "maximum": 0.2},
    {"kind": "pooled_non_inferiority", "margin_pt": 2, "benchmarks": [{"task": TASK, "metric": METRIC}] * 2},
]  # fmt: skip


def around(value: float, spread: float, n: int = 200) -> Bound:
    made = Estimate(
        value=value, lower=value - 1.2 * spread, upper=value + 1.2 * spread, level=0.95, n=n, method="by hand"
    )  # fmt: skip
    return Bound(estimate=made, lower_one_sided=value - spread, upper_one_sided=value + spread)


def evidence_of(value: float, spread: float, alpha: float, *, better: bool) -> Comparisons:
    """One figure for every kind of rule, each with limits around it."""
    found = around(value, spread)
    fields: dict[str, Any] = {
        "difference": found.estimate, "lower_one_sided": found.lower_one_sided,
        "upper_one_sided": found.upper_one_sided, "alpha_one_sided": alpha, "n_pairs": 200,
        "mde": 2.8 * spread, "tests": [schema.TestResult(name="by hand", p=0.04)],
    }  # fmt: skip
    counts = {"wins": 90, "losses": 70, "ties": 30, "both_bad": 10, "unparsed": 0}
    cost, latency = around(0.001 * (1 + value), 0.001 * spread), around(1 + value, spread)
    own = around(0.65 + value, spread)
    return comparisons(
        levels=[
            Level(task=TASK, metric=METRIC, role="candidate", **(dict(own) | {"alpha_one_sided": alpha}))
        ],
        comparisons=[
            comparison(
                task=TASK, metric=METRIC, kind="binary", ratio=around(1 + value, spread), **fields
            ),
            comparison(task=TASK, metric="win_rate", kind="win_rate", counts=counts, **fields),
        ],
        operations=[
            operations(
                "candidate", n_requests=200, latency_p95_s=latency.estimate.value,
                cost_usd_per_request=cost.estimate.value,
                bounds={"cost_usd_per_request": cost, "latency_p95_s": latency},
            )
        ],
        ratios=[
            OperationRatio(
                quantity="cost_usd_per_request", baseline="production", ratio=around(0.4 + value, spread)
            )
        ],
    ) if better else comparisons(
        levels=[], operations=[],
        comparisons=[
            comparison(task=TASK, metric=METRIC, kind="binary", higher_is_better=False, **fields)
        ],
    )  # fmt: skip


SEEN = re.compile(
    r"(?P<value>.+?) \((?P<level>[\d.]+) % CI (?P<low>.+) to (?P<high>.+)\), n=(?P<n>\d+)"
)


@given(SHARE, SPREAD, st.sampled_from([0.05, 0.0167, 0.005]), EVIDENCE, st.booleans())
@QUICK
def test_the_figures_of_every_rule_are_those_of_the_decision(
    value: float, spread: float, alpha: float, evidence: str, better: bool
) -> None:
    """What decision.json saw, its limits, their level and n, stand in the report's own words."""
    policy = make_policy(*(r | {"evidence": evidence} for r in RULES))
    found = evidence_of(value, spread, alpha, better=better)
    made = decide(policy, found, qualification(), date(2026, 6, 1))
    source = material(decision=made, comparisons=found)
    texts = " ".join(strings_of(build_view(source)))
    views = {view.name: view for view in build_view(source).rules}
    judged = [result for result in made.rules if result.estimate]
    assert len(judged) == (len(RULES) if better else 3)
    for result in judged:
        facts = {fact.term: fact.text for fact in views[result.name].facts}
        seen, drawn = SEEN.match(result.seen), views[result.name].plot
        assert seen, result.seen
        limits = facts["Limits that decide"]
        assert {seen["low"], seen["high"]} <= set(re.split(r" to |, one-sided", limits)), limits
        assert f"one-sided {format_level(result.level)} each" in limits
        assert f"{int(seen['n']):,} " in facts["n"]
        assert drawn is not None
        assert drawn.label.startswith(f"{seen['value']},")
        asked = drawn.reference_text.removeprefix("asked ").removeprefix("at most ")
        if result.kind not in ("non_inferiority", "pooled_non_inferiority"):
            assert asked.replace(".0", "") in result.asked.replace(".0", "")
        assert result.sentence in texts


def test_a_report_of_real_comparisons_holds_together() -> None:
    """From records over `compare` and `decide` to both forms: the same strings in each."""
    source = real_material()
    found, made = source.comparisons, source.decision
    assert any(isinstance(b, Bucket) for c in found.comparisons for b in c.buckets)
    html, markdown = Page(render_html(source)).text, text_of_markdown(render_markdown(source))
    squeezed = squeeze(html), squeeze(markdown)
    for string in strings_of(build_view(source)):
        assert all(squeeze(string) in form for form in squeezed), string
    assert "no upper limit" in html
    assert "Look 1 of 3" in html
    assert max(map(cell_width, decision_table(made).splitlines())) <= 100
    assert max(map(cell_width, comparison_table(found).splitlines())) <= 100


def test_a_large_report_is_made_in_time() -> None:
    """Hundreds of comparisons and long answers: both forms in less than two seconds."""
    tasks = [f"task_{i}" for i in range(60)]
    levels = [level(role, task=t) for t in tasks for role in ("candidate", "production")]
    example = Example(case_id="c", role="candidate", expected=HOSTILE, answer=HOSTILE * 2)
    source = material(
        comparisons=comparisons(levels=levels, comparisons=[comparison(task=t) for t in tasks]),
        findings=Findings(findings=[finding(task=t, examples=[example] * 3) for t in tasks]),
    )
    began = time.perf_counter()
    assert len(render_html(source)) < 2_000_000
    render_markdown(source)
    assert time.perf_counter() - began < TOO_SLOW_S
