"""A run folder with journals, scores and verdicts, in which every text is marked as what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from records import make_response
from run_folders import REGRESSION, SAFETY, _sha256, write_run

from ftgate_ext.schema import Judgment, RubricScore

if TYPE_CHECKING:
    from pathlib import Path

PROMPT, ANSWER, REASON, ERROR = "PROMPT-TEXT", "ANSWER-TEXT", "JUDGE-TEXT", "ERROR-TEXT"
HARMFUL = "HARMFUL-TEXT"
HOSTILE = "case \x1b[31m<!channel>\u202e"
STAMP = "2026-01-01T00-00-00.000000"
FINISHED = "2026-01-05T09:31:00+00:00"
POLICY = """\
version: 1
name: code review gate
models:
  candidate: {{endpoint: "http://10.0.0.1:8000/v1", model: reviewer-v0}}
  production: {{endpoint: "https://api.openai.com/v1", model: reviewer-live}}
eval_sets:
  - {{task: codereview_regression, kind: regression}}
  - {{task: codereview_safety, kind: safety}}
judge: {{endpoint: "http://10.0.0.2/v1", model: judge-1, task: codereview_regression}}
rules: [{{name: whole, kind: floor, task: codereview_regression, metric: passed, threshold: 0.5}}]
{more}
"""


def write_traced(folder: Path, more: str = "") -> Path:
    """Write the run: four cases of a regression set, one of them harmful, and one of a safety set.

    `case-1` failed, `harm-1` stands in the wrong set, HOSTILE has a hostile name.
    """
    run = write_run(folder, prompts=None)
    (run / "gate.yaml").write_text(POLICY.format(more=more), encoding="utf-8")
    for role in ("candidate", "production"):
        for path in (run / role).glob("results_*.json"):
            path.unlink()
        cases = [
            (REGRESSION, "case-0", {}), (REGRESSION, "case-1", {}), (REGRESSION, HOSTILE, {}),
            (REGRESSION, "harm-1", {"expect": "refuse"}), (SAFETY, "safe-1", {}),
        ]  # fmt: skip
        _write_results(run / role, cases)
        lines = [_response(role, task, case) for task, case, _ in cases]
        (run / role / "responses.jsonl").write_text("".join(lines), encoding="utf-8")
    looks = [_look(case, n) for case in ("case-0", "harm-1") for n in (0, 1)]
    (run / "judgments.jsonl").write_text("".join(f"{x.model_dump_json()}\n" for x in looks))
    score = RubricScore(
        task=REGRESSION, role="candidate", case_id="case-0", doc_hash=_sha256("case-0"), repeat=0, judge_model="judge-1",
        fingerprint="f", scores={"clarity": 4}, reasoning=REASON,
    )  # fmt: skip
    (run / "rubric_scores.jsonl").write_text(f"{score.model_dump_json()}\n")
    return run


def _prompt(case: str) -> str:
    words = HARMFUL if case in ("harm-1", "safe-1") else PROMPT
    return json.dumps([{"role": "user", "content": f"{words} {case}"}])


def _answer(case: str) -> str:
    return HARMFUL if case in ("harm-1", "safe-1") else f"{ANSWER} {case}"


def _write_results(folder: Path, cases: list[tuple[str, str, dict[str, Any]]]) -> None:
    tasks = sorted({task for task, _, _ in cases})
    results = {"configs": {t: {} for t in tasks}, "higher_is_better": {t: {"passed": True} for t in tasks}}  # fmt: skip
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results), encoding="utf-8")
    for task in tasks:
        mine = [(case, more) for t, case, more in cases if t == task]
        lines = [_sample(n, case, more) for n, (case, more) in enumerate(mine)]
        (folder / f"samples_{task}_{STAMP}.jsonl").write_text("".join(lines), encoding="utf-8")


def _sample(number: int, case: str, more: dict[str, Any]) -> str:
    failed = case == "case-1"
    scores = {} if failed else {"passed": 1, "f1": [1, 0, 2]}
    text = "" if failed else _answer(case)
    row = {
        "doc_id": number, "doc": {"id": case, **more}, "target": "defect",
        "arguments": {"gen_args_0": {"arg_0": [_prompt(case)], "arg_1": {}}}, "resps": [[text]], "filtered_resps": [text],
        "filter": "none", "metrics": list(scores), "doc_hash": _sha256(case), "prompt_hash": _sha256(_prompt(case)),
        "target_hash": "t", **scores,
    }  # fmt: skip
    return json.dumps(row) + "\n"


def _response(role: str, task: str, case: str) -> str:
    fields: dict[str, Any] = {
        "case_id": case, "task": task, "prompt_hash": _sha256(_prompt(case)), "model_asked": f"asked-{role}",
        "model_answered": f"answered-{role}", "text": _answer(case), "latency_s": 1.5, "finish_reason": "stop",
        "finished_at": FINISHED, "first_token_s": 0.25, "cached_input_tokens": 7,
    }  # fmt: skip
    if case == "case-1":
        fields |= {"text": "", "error": f"{ERROR} of {case}", "http_status": 503, "attempts": 5}
        return make_response("failed", **fields).model_dump_json(exclude_none=True) + "\n"
    return make_response(**fields).model_dump_json(exclude_none=True) + "\n"


def _look(case: str, n: int) -> Judgment:
    words = HARMFUL if case == "harm-1" else REASON
    return Judgment(
        task=REGRESSION, case_id=case, doc_hash=_sha256(case), baseline="production", first="candidate" if n == 0 else "baseline",
        round=n, judge_model="judge-1", fingerprint="f", pair_hash="h", raw_verdict="A_better" if n == 0 else "B_better",
        verdict="candidate_better", reasoning=words,
        response=make_response(case_id=case, task="judge", prompt_hash=f"judge-{case}-{n}", model_asked="judge-1", finished_at=FINISHED),
    )  # fmt: skip
