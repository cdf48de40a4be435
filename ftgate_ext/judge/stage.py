"""The stage `judge`: a run folder in, `judgments.jsonl` and `judge.json` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.inference.client import Endpoint, check_endpoint
from ftgate_ext.judge.pairwise import Judge, judge_looks, plan_looks
from ftgate_ext.judge.qualification import qualify
from ftgate_ext.runs import load_model_records, model_folders, write_row, write_text
from ftgate_ext.schema import Judgment, Qualification, Response, RunError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.policy import Policy

JUDGMENTS = "judgments.jsonl"
QUALIFICATION = "judge.json"


def judge_run(
    run_dir: Path,
    policy: Policy,
    endpoint: Endpoint,
    on_start: Callable[[int], None] | None = None,
    on_response: Callable[[Response, bool], None] | None = None,
) -> Qualification:
    """Judge the pairs that the policy names, and the judge itself.

    Args:
        run_dir: A run whose models have been asked.
        policy: With a `judge`.
        endpoint: The judge's endpoint.
        on_start: Told how many calls are to be made.
        on_response: Progress.

    Raises:
        RunError: The judge cannot be reached, or the candidate's answers are not there.
    """
    spec = policy.judge
    if spec is None:
        raise RunError(f"{run_dir}: the policy names no judge; add `judge` to gate.yaml.")
    check_endpoint(endpoint)
    judge = Judge(endpoint, spec.max_tokens, policy.run.seed, spec.max_reasoning_chars)
    folders = model_folders(run_dir)
    if "candidate" not in folders:
        raise RunError(f"{run_dir}: no answers of the candidate; run `ftgate run` first.")
    mine = load_model_records(folders["candidate"]).records.get(spec.task, [])
    looks = []
    for baseline in spec.against:
        if baseline in folders:
            theirs = load_model_records(folders[baseline]).records.get(spec.task, [])
            looks += plan_looks(
                spec.task, baseline, mine, theirs, lambda r: r.prompt, policy.run.seed, spec.limit
            )
    if on_start:
        on_start(sum(not look.identical for look in looks))
    judgments: list[Judgment] = judge_looks(
        judge, looks, run_dir / "judge_responses.jsonl", on_response
    )
    lines = (j.model_dump_json(exclude_none=True) + "\n" for j in judgments)
    write_text(run_dir / JUDGMENTS, "".join(lines))
    qualification = qualify(judgments, spec)
    write_row(run_dir / QUALIFICATION, qualification)
    return qualification
