"""Reports with made-up figures, and readers of what was rendered."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from records import (
    METRIC,
    TASK,
    as_scores,
    make_models,
    make_pairs,
    make_policy,
    make_record,
    make_response,
)

from ftgate_ext import schema
from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.report import ReportInput
from ftgate_ext.report.view import build_view
from ftgate_ext.schema import (
    Audit,
    AuditScenario,
    Comparison,
    Comparisons,
    Decision,
    Estimate,
    EvalSetUse,
    Example,
    Finding,
    Findings,
    Level,
    LookUse,
    ModelCard,
    Operations,
    Qualification,
    Role,
    RuleResult,
    RunManifest,
    ServedModel,
)
from ftgate_ext.settings import Settings

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> ```\n````` | a | b |\n"
    "[x](javascript:alert(3)) ![i](http://evil.example/i.png) <http://evil.example> `code` $x$\n"
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202egnp.exe &lt;b&gt; {{ 7 * 7 }} {% raw %} *b* _i_ ~~s~~\n"
    "# heading\n- item\n1. item\n> quote\n---\n</pre></td></table></style></title>"
)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
VOID = {"input", "meta", "br", "circle", "path", "line", "rect"}


def estimate(value: float, lower: float | None, upper: float | None, n: int = 40) -> Estimate:
    level = None if lower is None else 0.95
    return Estimate(value=value, lower=lower, upper=upper, level=level, n=n, method="exact")


def card(role: Role, name: str, **more: Any) -> ModelCard:
    return ModelCard(
        role=role, name=name, model=name, endpoint="http://localhost:1/v1", hosting="here", **more
    )


def level(role: Role, metric: str = "f1", value: float = 0.5, task: str = "golden") -> Level:
    return Level(task=task, metric=metric, role=role, estimate=estimate(value, 0.4, 0.6))


def comparison(baseline: Role = "production", **more: Any) -> Comparison:
    values: dict[str, Any] = {
        "task": "golden", "metric": "f1", "kind": "f1", "n_pairs": 40, "n_excluded": 0,
        "difference": estimate(0.044, -0.012, 0.098), "lower_one_sided": -0.003,
        "upper_one_sided": 0.09, "tests": [schema.TestResult(name="paired bootstrap", p=0.0004)],
    }  # fmt: skip
    return Comparison(baseline=baseline, **(values | more))


def operations(role: Role, **more: Any) -> Operations:
    values: dict[str, Any] = {
        "task": "*", "n_requests": 40, "statuses": {"ok": 39, "failed": 1}, "latency_p50_s": 1.234,
        "latency_p95_s": 2.345, "latency_p99_s": 3.456, "input_tokens": 12345,
        "output_tokens": 678, "cost_usd_per_request": 0.0012345, "concurrency": 16,
    }  # fmt: skip
    return Operations(role=role, **(values | more))


def rule(name: str = "better", outcome: str = "PASS", **more: Any) -> RuleResult:
    values: dict[str, Any] = {
        "kind": "superiority", "evidence": "significant", "asked": "task F1 at least +1.0 pt, p < 0.05",
        "seen": "+4.4 pt (90 % CI -0.3 pt to +9.0 pt), n=40", "sentence": f"task F1 +4.4 pt: {name}.",
        "task": "golden", "metric": "f1", "against": "production",
        "estimate": estimate(0.044, -0.012, 0.098), "lower_one_sided": -0.003,
        "upper_one_sided": 0.09, "threshold": 0.01, "level": 0.95,
    }  # fmt: skip
    return RuleResult.model_validate({"name": name, "outcome": outcome, **(values | more)})


def decision(*rules: RuleResult, verdict: str = "NO-GO", code: int = 1, **more: Any) -> Decision:
    return Decision.model_validate(
        {"run_id": "run-1", "policy_name": "gate", "policy_hash": "ab" * 32, "verdict": verdict}
        | {"exit_code": code, "rules": [r.model_dump() for r in rules], **more}
    )


def comparisons(**more: Any) -> Comparisons:
    values: dict[str, Any] = {
        "run_id": "run-1", "roles": ["candidate", "production"],
        "levels": [level("candidate", value=0.544), level("production")],
        "comparisons": [comparison()],
        "operations": [operations("candidate"), operations("production")],
        "sources": {"candidate": ["candidate/results.json"]}, "resamples": 10_000, "seed": 7,
    }  # fmt: skip
    return Comparisons(**(values | more))


def qualification(**more: Any) -> Qualification:
    values: dict[str, Any] = {
        "judge_model": "judge-1", "fingerprint": "cd" * 32, "fit": True, "reasons": [],
        "n_pairs": 30, "n_identical": 2, "n_unparsed": 1, "consistency": estimate(0.8, 0.6, 0.9, 27),
        "first_position_share": estimate(0.6, 0.1, 0.9, 5), "first_position_p": 0.62,
        "cost_usd": 0.0432,
    }  # fmt: skip
    return Qualification(**(values | more))


def finding(category: str = "missed defect", role: Role = "candidate", **more: Any) -> Finding:
    examples = [Example(case_id="golden-0001", role=role, expected="a defect", answer="clean")]
    values: dict[str, Any] = {"task": "golden", "n": 3, "of": 40, "examples": examples}
    return Finding(category=category, role=role, **(values | more))


def manifest(**more: Any) -> RunManifest:
    values: dict[str, Any] = {
        "run_id": "run-1", "policy_name": "gate", "policy_hash": "ab" * 32, "generation_hash": "ef" * 32,
        "created_at": "2026-01-02T03:04:05+00:00", "finished_at": "2026-01-02T03:14:05+00:00",
        "models": [card("candidate", "tuned"), card("production", "live", price=schema.Price(usd_per_hour=2.5))],
        "eval_sets": [
            EvalSetUse(task="golden", file="/data/golden.jsonl", sha256="12" * 32, n_rows=60, limit=40, config_source="x")
        ],
        "seed": 7, "concurrency": 16, "versions": {"ftgate_ext": "0.1.0"},
    }  # fmt: skip
    return RunManifest(**(values | more))


def material(**more: Any) -> ReportInput:
    values: dict[str, Any] = {
        "manifest": manifest(), "comparisons": comparisons(), "findings": Findings(findings=[finding()]),
        "decision": decision(rule(), rule("safe", "FAIL", kind="floor", next_step="Mend it.")),
        "qualification": qualification(),
    }  # fmt: skip
    return ReportInput(**(values | more))


def scenario(name: str = "nothing changed", **more: Any) -> AuditScenario:
    values: dict[str, Any] = {
        "planted": "no true difference", "simulations": 400, "go": 8, "no_go": 192, "inconclusive": 200,
        "failed_rules": {"better": 100, "safe": 40, "late": 30, "liked": 20}, "unsettled_rules": {},
    }  # fmt: skip
    return AuditScenario(name=name, **(values | more))


def audit(*scenarios: AuditScenario, **more: Any) -> Audit:
    values: dict[str, Any] = {
        "run_id": "run-1", "policy_hash": "ab" * 32, "seed": 7, "resamples": 500,
        "scenarios": list(scenarios) or [scenario()], "notes": ["ratios are left as they are"],
    }  # fmt: skip
    return Audit(**(values | more))


def cell_of(table: Any, column: str, row: int = 0) -> str:
    cell: str = table.rows[row][table.columns.index(column)]
    return cell


def facts_of(source: ReportInput, name: str) -> dict[str, str]:
    """The facts of one rule."""
    found = next(r for r in build_view(source).rules if r.name == name)
    return {fact.term: fact.text for fact in found.facts}


class Page(HTMLParser):
    """Elements, attributes and visible text of an HTML page; complains about bad nesting."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.drawn: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:  # a browser writes an end for an empty path, too
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "title", "svg"} & set(self.open):
            self.texts.append(data)
        if "svg" in self.open:
            self.drawn.append(data)
        if "script" in self.open:
            self.scripts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def text_of_markdown(markdown: str) -> str:
    return Page(MARKDOWN.render(markdown)).text


def strings_of(value: Any) -> list[str]:
    """All strings of a view, but for drawings and what only templates ask for."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [s for item in value for s in strings_of(item)]
    if dataclasses.is_dataclass(value) and type(value).__name__ != "Plot":
        return [s for f in dataclasses.fields(value) for s in strings_of(getattr(value, f.name))]
    return []


def squeeze(text: str) -> str:
    """Text without white space and backticks: how it is laid out does not matter."""
    return re.sub(r"[\s`]+", "", text)


def everywhere(text: str) -> ReportInput:
    """A report in which every free text is `text`."""
    served = ServedModel(endpoint=text, model=text, served_models=[text], system_fingerprint=text)
    example = Example(case_id=text, role="candidate", expected=text, answer=text)
    reply = rule(text, "FAIL", asked=text, seen=text, sentence=text, next_step=text)
    approved = rule("approved", approved=text)
    binary = comparison(task=text, metric=text, kind="binary", counts={text: 1}, lost_cases=[text])
    return material(
        manifest=manifest(
            models=[card("candidate", text, served=served), card("frontier", text, absent=text)],
            versions={text: text},
        ),
        comparisons=comparisons(
            comparisons=[comparison(), binary], sources={text: [text]},
            levels=[level("candidate"), level("production", metric=text, task=text)],
        ),
        findings=Findings(findings=[finding(text, examples=[example] * 3)]),
        decision=decision(
            reply, approved, rule(text, kind="any_route", parts=[reply]), warnings=[text],
            policy_name=text, point_verdict="GO",
        ),
        qualification=qualification(fit=False, reasons=[text], judge_model=text),
        audit=audit(scenario(text, planted=text, failed_rules={text: 3}), notes=[text]),
    )  # fmt: skip


@lru_cache(maxsize=1)
def real_material() -> ReportInput:
    """From records over `compare` and `decide`: one rule of nearly every kind, three models."""
    models = make_models(
        **{
            role: [
                make_record(
                    f"case-{i}", doc={"language": "go" if i % 2 else "rust"}, passed=float(i % k > 0),
                    response=make_response(latency_s=0.5 + i / 100, cost_usd=0.001 * k),
                )
                for i in range(60)
            ]
            for role, k in (("candidate", 7), ("production", 5), ("frontier", 9))
        }
    )  # fmt: skip
    policy = make_policy(
        {"kind": "superiority", "evidence": "proven"},
        {"kind": "per_bucket", "by": "language", "margin_pt": 5, "min_cases": 20},
        {"kind": "no_regression"}, {"kind": "win_rate"}, {"kind": "floor", "threshold": 0.8},
        {"kind": "budget", "quantity": "latency_p99_s", "maximum": 2, "evidence": "proven"},
        {"kind": "any_route", "routes": [
            {"name": "good", "rules": [{"name": "good", "kind": "ratio", "task": TASK, "metric": METRIC, "minimum": 0.9}]},
            {"name": "cheap", "rules": [{"name": "cheap", "kind": "ratio", "quantity": "cost_usd_per_request", "maximum": 0.5}]},
        ]},
    )  # fmt: skip
    chosen = Settings(
        resamples=1000, buckets={(TASK, METRIC): ["language"]},
        look=LookUse(number=1, planned=3, boundary="pocock"),
    )  # fmt: skip
    judgments = make_pairs(["candidate_better"] * 12 + ["baseline_better"] * 8 + ["tie"] * 5)
    found = compare_models(
        as_scores(models, chosen.fields), judgments, "run-1", Path("runs/toy"), chosen
    )
    made = decide(policy, found, qualification(), date(2026, 6, 1))
    return material(decision=made, comparisons=found, audit=audit())
