"""The page in a real browser and for who does not see it: nothing runs, everything is named."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from reports import (
    Page,
    card,
    comparison,
    comparisons,
    decision,
    everywhere,
    level,
    manifest,
    material,
    real_material,
    rule,
)

from ftgate_ext.report import render_html
from ftgate_ext.report.blocks import Bounds, ticks_of
from ftgate_ext.report.view import build_view
from ftgate_ext.wording import points

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.report.blocks import Plot

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")  # fmt: skip
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
OWNED = "document.documentElement.setAttribute('data-owned','yes')"
ATTACKS = (
    f'<script>{OWNED}</script><img src=x onerror="{OWNED}"><svg onload="{OWNED}"></svg>'
    f"</style><script>{OWNED}</script></script><script>{OWNED}</script></title></pre></td></table>"
    f'<iframe srcdoc="<script>parent.{OWNED}</script>"></iframe><details open ontoggle="{OWNED}">'
    f'<a href="javascript:{OWNED}">x</a>[x](javascript:{OWNED}) <math><mtext></form><style>'
    "<meta http-equiv=refresh content='0;url=data:text/html,x'><base href=http://evil.example/>"
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07 \x1b[2J \u202e\u2066gnp.exe\u2069 {{ 7*7 }}"
)  # fmt: skip


def dump_dom(html: str, folder: Path) -> str:
    """The page after everything that would run in it has run."""
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    assert CHROMIUM
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=2000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def is_owned(dom: str) -> bool:
    """Whether something ran: every attack leaves its mark on the outermost element."""
    root = re.search(r"<html[^>]*>", dom)
    return root is None or "data-owned" in root[0]


@in_a_browser
def test_no_answer_runs_in_a_browser(tmp_path: Path) -> None:
    """Scripts, handlers, broken-out styles, links and controls in every text: none does anything."""
    dom = dump_dom(render_html(everywhere(ATTACKS)), tmp_path)
    assert not is_owned(dom)
    assert dom.count("<script") == 1
    shown = Page(dom)
    assert not {"iframe", "img", "math", "base", "form", "embed", "object"} & set(shown.tags)
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert all(value.startswith("#") for name, value in shown.attributes if name == "href")
    assert not set(dom) & set("\x1b\x07\u202e\u2066\u2069")
    assert '<th scope="col"><button type="button">' in dom  # the page's own script did run


@pytest.mark.slow
@in_a_browser
def test_the_policy_of_the_page_is_a_second_wall(tmp_path: Path) -> None:
    """The same attacks written into the page unescaped run without the policy, and not with it."""
    html = render_html(material())
    broken = html.replace("</main>", f"{ATTACKS}</main>")
    unguarded = re.sub(r"<meta http-equiv=[^>]*>", "", broken)
    assert is_owned(dump_dom(unguarded, tmp_path))
    assert not is_owned(dump_dom(broken, tmp_path))


@pytest.mark.slow
@in_a_browser
def test_tables_sort_and_filter(tmp_path: Path) -> None:
    """By figures and not by letters, what is not measured last; the third click undoes it."""
    deltas = {"a": 0.02, "b": 0.1, "c": -0.05, "d": None, **{f"z{i}": 0.5 + i / 100 for i in range(5)}}  # fmt: skip
    made = [
        comparison(metric=name, difference=None, unavailable="gone", tests=[])
        if value is None
        else comparison(metric=name, difference=made_estimate(value))
        for name, value in deltas.items()
    ]
    html = render_html(material(comparisons=comparisons(comparisons=made)))
    html = re.sub(r"<meta http-equiv=[^>]*>", "", html)
    probe = """<script>
    const found = [...document.querySelectorAll("table.sorts")].find(
      (t) => t.caption.textContent.includes("candidate minus the other"));
    const names = () => [...found.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[0].textContent).join("");
    const head = [...found.tHead.rows[0].cells].find((c) => c.textContent === "Difference");
    const told = [names()];
    for (let i = 0; i < 3; i++) { head.firstElementChild.click(); told.push(names() + head.getAttribute("aria-sort")); }
    const field = found.parentElement.previousElementSibling.querySelector("input");
    field.value = "Z3"; field.dispatchEvent(new Event("input"));
    told.push(names(), field.closest("p").querySelector("[role=status]").textContent);
    document.title = told.join(" | ");
    </script></body>"""
    title = re.search(r"<title>(.*?)</title>", dump_dom(html.replace("</body>", probe), tmp_path))
    assert title
    as_written = "".join(deltas)
    assert title[1].split(" | ") == [
        as_written, "cabz0z1z2z3z4dascending", "z4z3z2z1z0bacddescending", f"{as_written}null",
        "z3", "1 of 9 rows",
    ]  # fmt: skip


def made_estimate(value: float) -> object:
    """An interval of two points to both sides."""
    return comparison().difference.model_copy(  # type: ignore[union-attr]
        update={"value": value, "lower": value - 0.02, "upper": value + 0.02}
    )


# --- without a browser


def test_only_this_script_and_this_style_may_run() -> None:
    """The policy names the hashes of the very texts in the page, and nothing else."""
    html = render_html(material())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert " style=" not in html


def test_the_page_is_whole_without_its_script() -> None:
    """Every cell stands in the file itself; the script adds buttons and fields, no words of ours."""
    html = render_html(real_material())
    assert "<button" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)[0]
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval|fetch|XMLHttp|import", script)  # fmt: skip


@pytest.mark.parametrize("made", [material, real_material, lambda: everywhere("text")])
def test_a_screen_reader_finds_its_way(made: object) -> None:
    """Headings in order, a way past the head, a caption and scopes in each table, no image without words."""
    html = render_html(made())  # type: ignore[operator]
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    page = Page(html)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for name, value in page.attributes if name == "href"]
    assert set(links) <= {f"#{i}" for i in ids}
    assert links[0] == "#summary"
    assert page.tags.count("table") == page.tags.count("caption") == page.tags.count("thead")
    assert "" not in [h.strip() for h in re.findall(r"<th[^>]*>(.*?)</th>", html, re.DOTALL)]
    drawings = re.findall(r"<svg[^>]*>.*?</svg>", html, re.DOTALL)
    for drawing in drawings:
        assert 'aria-hidden="true"' in drawing or re.search(
            r'role="img"><title>.+</title>', drawing
        )


def drawn(*outcomes: str) -> list[Plot]:
    rules = [
        rule(f"r{i}", outcome, lower_one_sided=0.01 * i, upper_one_sided=0.05 * i + 0.1)
        for i, outcome in enumerate(outcomes)
    ]
    return [r.plot for r in build_view(material(decision=decision(*rules))).rules if r.plot]


def test_rules_of_one_kind_share_an_axis() -> None:
    """The same margin stands at the same place, and so does every mark; other units have their own."""
    first, second = drawn("PASS", "FAIL")
    assert first.reference == second.reference
    assert first.ticks == second.ticks
    assert first.value == second.value
    assert first.upper < second.upper
    seconds = [
        rule(f"l{i}", kind="budget", metric=m, task=None, against=None, threshold=-t,
             estimate=comparison().difference, lower_one_sided=-0.12, upper_one_sided=-0.01)
        for i, (m, t) in enumerate([("latency_p95_s", 1.0), ("latency_p99_s", 2.0), ("cost_usd_per_request", 0.002)])
    ]  # fmt: skip
    p95, p99, cost = (r.plot for r in build_view(material(decision=decision(*seconds))).rules)
    assert p95
    assert p99
    assert cost
    assert p95.ticks == p99.ticks != cost.ticks
    assert p99.reference < p95.reference


def test_an_outcome_is_seen_without_colour() -> None:
    """A disc, a cross or a diamond, the word beside it, and a ring for what somebody approved."""
    html = render_html(material(decision=decision(rule("a", "PASS"), rule("b", "FAIL"), rule("c", "INCONCLUSIVE"), rule("d", "PASS", approved="FAIL approved by A. Boss"))))  # fmt: skip
    large = re.findall(r'<svg class="plot".*?</svg>', html, re.DOTALL)
    shapes = [Counter(re.findall(r'<(circle|path) class="([^"]*)"', drawing)) for drawing in large]
    assert [sorted(s) for s in shapes] == [
        [("circle", "value")], [("path", "cross"), ("path", "value")], [("path", "value open")],
        [("circle", "value open")],
    ]  # fmt: skip
    for drawing, word in zip(large, ["PASS", "FAIL", "INCONCLUSIVE", "PASS (approved)"], strict=True):  # fmt: skip
        assert f">{word}</tspan>" in drawing
        assert f": {word}</title>" in drawing


def test_ticks_are_round_and_inside() -> None:
    """Steps of 1, 2 or 5, at most six of them, none outside; an axis without a length has none."""
    ticks = ticks_of(Bounds(-0.037, 0.094), points)
    assert [t.text for t in ticks] == ["0.0 pt", "+5.0 pt"]
    assert all(0 <= t.position <= 100 for t in ticks)
    for high in (0.0013, 0.7, 3.2, 9999.0):
        assert 2 <= len(ticks_of(Bounds(0.0, high), str)) <= 6
    assert ticks_of(Bounds(1.0, 1.0), str) == []


def test_four_models_fit_on_a_page() -> None:
    """The matrix has a column a model, so that paper is wide enough for any number of figures."""
    roles = ["candidate", "production", "base", "frontier"]
    models = [card(role, f"model of {role}") for role in roles]  # type: ignore[arg-type]
    levels = [level(role) for role in roles]  # type: ignore[arg-type]
    table = build_view(material(manifest=manifest(models=models), comparisons=comparisons(roles=roles, levels=levels))).models  # fmt: skip
    assert table.columns == ["Property", *roles]
    assert len(table.rows) == 13
