"""The report's figures are those of decision.json and comparisons.json, to the digit, and no others."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from fnmatch import fnmatch
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from reports import (
    Page,
    card,
    comparisons,
    decision,
    manifest,
    material,
    operations,
    real_material,
    rule,
    strings_of,
    text_of_markdown,
)

from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.report.figures import (
    Scale,
    format_level,
    format_money,
    format_p,
    format_seconds,
    scale_of,
)
from ftgate_ext.report.models import cost_per_mtok
from ftgate_ext.report.units import is_turned, oriented_value, turn, unit_of
from ftgate_ext.report.view import build_view
from ftgate_ext.schema import Comparisons, Decision, Findings, RuleResult
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]
NUMBER = re.compile(r"\d[\d.,]*\d|\d")
UNTESTED = frozenset({"no_regression", "per_bucket", "any_route", "route"})
"""Kinds without a threshold on their own figure."""


def sections(source: ReportInput) -> dict[str, list[str]]:
    """Rule -> what stands under its heading in Markdown and in HTML."""
    names = [r.name for r in source.decision.rules]
    markdown = re.split(
        r"^#### \d+\. ", render_markdown(source).split("### (c)")[0], flags=re.MULTILINE
    )
    html = render_html(source).split("<article")[1:]
    assert len(markdown) == len(html) + 1 == len(names) + 1
    texts = [
        [text_of_markdown(text), Page(f"<article{part.partition('</article>')[0]}</article>").text]
        for text, part in zip(markdown[1:], html, strict=True)
    ]
    return dict(zip(names, texts, strict=True))


def figures_of(result: RuleResult, found: Comparisons) -> list[str]:
    """Every figure of a rule in decision.json, written as the report writes figures."""
    unit = unit_of(result, found)
    figures: list[str] = []
    value, estimate = oriented_value(result, found), result.estimate
    if estimate is not None and value is not None:
        shown = turn(estimate) if is_turned(result, found) else estimate
        figures += [unit.turned(value) if result.kind != "no_regression" else "", f"{estimate.n:,}"]
        figures += [unit.write(end) for end in (shown.lower, shown.upper) if end is not None]
    ends = (result.lower_one_sided, result.upper_one_sided)
    if result.kind not in UNTESTED:
        asked = None if result.kind == "bucket" else result.threshold
        figures += [unit.turned(end) for end in (*ends, asked) if end is not None]
        figures += [format_level(result.level)]
    if result.mde is not None:
        figures.append(scale_or_share(result, found).difference(result.mde).lstrip("+"))
    if result.cases_needed is not None:
        figures.append(f"{result.cases_needed:,}")
    if result.chance_unchanged_passes is not None and result.kind != "no_regression":
        figures.append(percent(result.chance_unchanged_passes))
    return figures


def scale_or_share(result: RuleResult, found: Comparisons) -> Scale:
    return scale_of(found, result.task, result.metric) if result.task and result.metric else Scale()


def test_every_figure_of_every_rule_stands_under_its_heading() -> None:
    """Value, both intervals, threshold, level, n, power: from the file on disk, in both forms."""
    source = real_material()
    on_disk = Decision.model_validate_json(source.decision.model_dump_json())
    found = Comparisons.model_validate_json(source.comparisons.model_dump_json())
    texts = sections(dataclasses.replace(source, decision=on_disk, comparisons=found))
    checked = 0
    for result in on_disk.rules:
        for inner in (result, *result.parts, *(p for part in result.parts for p in part.parts)):
            wanted = figures_of(inner, found) if inner is result or inner.kind == "bucket" else []
            for words in (*wanted, *([] if inner.kind in ("bucket", "route") else [inner.seen])):
                for text in texts[result.name]:
                    assert words in text, (inner.name, words)
                checked += 1
    assert checked >= 55


def test_every_comparison_stands_in_its_row() -> None:
    """Difference, limits, p, n and visible effect of comparisons.json, in the row of the comparison."""
    found = real_material().comparisons
    view = build_view(real_material())
    rows = [row for table in view.differences for row in table.rows]
    for made in found.comparisons:
        scale = scale_of(found, made.task, made.metric)
        difference = made.difference
        assert difference is not None
        row = next(
            r for r in rows if scale.difference(difference.value) in r and r[1] == made.baseline
        )
        limits = [difference.lower, difference.upper]
        ends = [scale.difference(end) for end in limits if end is not None]
        assert f"{ends[0].removesuffix(' pt')} to {ends[1]}" in row
        assert format_p(made.tests[0].p) in row
        assert str(made.n_pairs) in row
        assert made.mde is None or scale.difference(made.mde).lstrip("+") in row
    for one in found.levels:
        scale = scale_of(found, one.task, one.metric)
        assert one.estimate is not None
        words = f"{scale.value(one.estimate.value)} (95 % CI "
        assert any(words in cell for t in view.levels for row in t.rows for cell in row)


def test_the_matrix_has_the_operations_of_every_model() -> None:
    """Cost per request and per million tokens, latencies and tokens, a column a model."""
    source = real_material()
    models = manifest().models
    table = build_view(source).models
    for model in models:
        made = next(
            o for o in source.comparisons.operations if (o.role, o.task) == (model.role, "*")
        )
        column = {row[0]: row[table.columns.index(model.role)] for row in table.rows}
        assert column["Cost per request"] == format_money(made.cost_usd_per_request)
        assert column["Cost per 1M tokens"] == format_money(cost_per_mtok(made))
        assert column["Latency p99"] == format_seconds(made.latency_p99_s)
        assert column["Tokens in"] == f"{made.input_tokens:,}"
        assert column["Backend"] == "ftgate-chat"


def test_cost_per_million_tokens_by_hand() -> None:
    """2 dollars for 3,000 + 1,000 tokens are 500 dollars a million; without tokens it is not known."""
    made = operations("candidate", cost_usd_total=2.0, input_tokens=3000, output_tokens=1000)
    assert cost_per_mtok(made) == 500
    assert cost_per_mtok(made.model_copy(update={"output_tokens": None})) is None
    assert cost_per_mtok(made.model_copy(update={"cost_usd_total": None})) is None


SHOWN = {
    "comparisons": [
        "comparisons/*/difference/value", "comparisons/*/difference/lower", "comparisons/*/difference/upper",
        "comparisons/*/n_pairs", "comparisons/*/tests/*/p", "comparisons/*/mde", "comparisons/*/n_excluded",
        "comparisons/*/counts/only_*", "comparisons/*/counts/wins", "levels/*/estimate/value",
        "levels/*/estimate/lower", "levels/*/estimate/upper", "levels/*/estimate/n", "levels/*/n_unscored",
        "operations/*/latency_p95_s", "operations/*/latency_p99_s", "operations/*/bounds/*/estimate/value",
        "operations/*/bounds/*/estimate/lower", "ratios/*/ratio/estimate/value", "ratios/*/ratio/estimate/upper",
        "resamples", "seed",
    ],
    "decision": [
        "rules/?/estimate/value", "rules/?/estimate/lower", "rules/?/estimate/upper", "rules/?/mde",
        "rules/?/lower_one_sided", "rules/?/upper_one_sided", "rules/?/cases_needed",
        "rules/?/chance_unchanged_passes", "rules/?/parts/?/lower_one_sided", "rules/?/parts/?/estimate/value",
    ],
}  # fmt: skip


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all numbers of a JSON document."""
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, child in children:
        yield from leaves(child, (*path, key))


def changed(document: Any, path: Path) -> Any:
    """The document with one number made clearly larger."""
    copied = copy.deepcopy(document)
    place = copied
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = old + 7 if isinstance(old, int) else old * 1.37 + 0.011
    return copied


@pytest.mark.parametrize("name", ["comparisons", "decision"])
def test_a_changed_figure_changes_the_report(name: str) -> None:
    """Every kind of figure is read from its file: one that is altered there is altered here."""
    source = real_material()
    document = json.loads(getattr(source, name).model_dump_json())
    cls: type[Comparisons | Decision] = {"comparisons": Comparisons, "decision": Decision}[name]
    before = strings_of(build_view(source))
    forms = render_markdown(source), render_html(source)
    seen: dict[str, int] = {}
    for number, path in enumerate(leaves(document)):
        where = "/".join(str(key) for key in path)
        pattern = next((p for p in SHOWN[name] if fnmatch(where, p)), None)
        if pattern is None or not is_drawn(source, path):
            continue
        altered: Any = cls.model_validate(changed(document, path))
        mutant = dataclasses.replace(source, **{name: altered})
        assert strings_of(build_view(mutant)) != before, where
        seen[pattern] = seen.get(pattern, 0) + 1
        if seen[pattern] == 1 + number % 2:
            assert render_markdown(mutant) != forms[0], where
            assert render_html(mutant) != forms[1], where
    assert set(seen) == set(SHOWN[name])


def is_drawn(source: ReportInput, path: Path) -> bool:
    """A count of regressions is decided by its cases, and routes by the rules inside them."""
    if path[0] != "rules":
        return True
    result: Any = source.decision.rules[int(path[1])]
    if result.kind == "no_regression":
        return path[2:] != ("estimate", "value") and path[2] not in ("chance_unchanged_passes", "lower_one_sided", "upper_one_sided")  # fmt: skip
    return bool(result.kind != "any_route")


def test_what_is_written_by_hand_holds_no_figures() -> None:
    """The templates' own words name no numbers but those of the definition of power."""
    for name in ("report.html.j2", "report.md.j2"):
        text = (files("ftgate_ext.report") / "templates" / name).read_text(encoding="utf-8")
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<head>.*?</head>|<[^>]*>|^#+ ", " ", text, flags=re.DOTALL | re.MULTILINE)  # fmt: skip
        assert set(NUMBER.findall(text)) <= {"80", "100", "5"}, name


def test_without_figures_there_are_none() -> None:
    """A decision without any measurement makes a report without any percentage or money."""
    nothing = rule(
        "open", "INCONCLUSIVE", estimate=None, lower_one_sided=None, upper_one_sided=None, asked="x",
        seen="no evidence", sentence="Cannot be decided.", threshold=None, level=None,
    )  # fmt: skip
    source = material(
        decision=decision(nothing, verdict="INCONCLUSIVE", code=3),
        comparisons=comparisons(levels=[], comparisons=[], operations=[]),
        qualification=None,
        findings=Findings(findings=[]),
        manifest=manifest(models=[card("candidate", "tuned")]),
    )
    for text in (Page(render_html(source)).text, text_of_markdown(render_markdown(source))):
        assert not re.findall(r"\$\d|\d(?:\.\d+)?%| pt\b|\d s\b", text)
