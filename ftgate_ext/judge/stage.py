"""The stage `judge`: a run folder in, `judgments.jsonl` and `judge.json` out.

The judge is examined first; one that fails is not asked about the run's answers, which would only cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.inference.client import Asker, Endpoint, ask_all, check_endpoint
from ftgate_ext.judge.conversations import question_text
from ftgate_ext.judge.examine import Examination, examine, plan_examination
from ftgate_ext.judge.grades import GRADES, Grading, grade_answers, plan_gradings, ungraded
from ftgate_ext.judge.known_pairs import KnownPairs, load_known_pairs, shipped_pairs
from ftgate_ext.judge.opponents import needed_opponents
from ftgate_ext.judge.pairwise import Judge, Look, judge_looks, plan_looks
from ftgate_ext.judge.qualification import qualify
from ftgate_ext.judge.recorded import load_recorded
from ftgate_ext.judge.rubric import (
    RUBRIC_SCORES,
    Scoring,
    plan_scorings,
    rubric_noise,
    score_answers,
)
from ftgate_ext.judge.stopping import judge_by_plan, write_stopping
from ftgate_ext.runs import load_model_records, model_folders, write_row, write_text
from ftgate_ext.schema import (
    Grade,
    Judgment,
    Qualification,
    Response,
    Role,
    RubricScore,
    RunError,
)
from ftgate_ext.scoring.mtbench import MTBENCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_judge import JudgeSpec
    from ftgate_ext.schema import Row, StoppingRecord

    OnResponse = Callable[[Response, bool], None]

JUDGMENTS = "judgments.jsonl"
QUALIFICATION = "judge.json"
RESPONSES = "judge_responses.jsonl"
ANCHOR_RESPONSES = "judge_anchors.jsonl"
EXAMINATION = "judge_examination.jsonl"


def make_judge(
    policy: Policy, endpoint: Endpoint | None, folders: Sequence[Path], ask: Asker = ask_all
) -> Judge:
    """The judge of a policy.

    Args:
        policy: With a `judge`.
        endpoint: Where it answers; None for one that only repeats recorded verdicts.
        folders: Where files that the policy names are looked for.
        ask: How it is asked.

    Raises:
        RunError: There is no judge, it cannot be reached, or its recorded verdicts cannot be read.
    """
    spec = policy.judge
    if spec is None:
        raise RunError("the policy names no judge; add `judge` to gate.yaml.")
    recorded = load_recorded(find_file(spec.replay, folders)) if spec.replay else None
    if recorded is None and endpoint is not None:
        check_endpoint(endpoint)
    if endpoint is None:
        endpoint = Endpoint("replay", spec.model)
    return Judge(
        endpoint, spec.max_tokens, policy.run.seed, spec.max_reasoning_chars,
        spec.response_format, recorded, ask,
    )  # fmt: skip


def find_file(name: str, folders: Sequence[Path]) -> Path:
    """The first of the folders that holds it.

    Raises:
        RunError: None of them does.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder.resolve()) for folder in folders)
    raise RunError(f"{name}: no such file in {looked}; mend the judge's part of gate.yaml.")


def known_pairs_of(spec: JudgeSpec, folders: Sequence[Path], pairs: Path | None = None) -> KnownPairs:  # fmt: skip
    """The pairs that the judge is examined with: named by the user, by the policy, or shipped."""
    if pairs is not None:
        return load_known_pairs(pairs)
    if spec.qualification is not None:
        return load_known_pairs(find_file(spec.qualification, folders))
    return shipped_pairs()


def qualify_judge(
    policy: Policy,
    endpoint: Endpoint | None,
    policy_dir: Path,
    pairs: Path | None = None,
    on_start: Callable[[int], None] | None = None,
    on_response: OnResponse | None = None,
) -> Qualification:
    """Examine the judge of a policy, without a run.

    Args:
        policy: With a `judge`.
        endpoint: Where it answers.
        policy_dir: Folder of gate.yaml, to which its paths are relative.
        pairs: Other pairs than the policy's.
        on_start: Told how many calls there are, answered ones included.
        on_response: Progress.

    Returns:
        What is also written beside the answers in the cache folder.
    """
    folders = [policy_dir, Path()]
    judge = make_judge(policy, endpoint, folders)
    spec = _judge_spec(policy)
    known = known_pairs_of(spec, folders, pairs)
    examination = plan_examination(judge, spec, known)
    if on_start:
        on_start(0 if judge.recorded else len(examination.looks()))
    journal = examination.journal()
    if examination.is_local:
        journal.unlink(missing_ok=True)  # another model may answer there by now
    examined = examine(examination, journal, None, on_response)
    found = qualify([], spec, examined, examination.known)
    found.notes = _notes(policy, examination, []) + _failures(examined.all)
    if judge.recorded is None:
        write_row(journal.with_suffix(".json"), found)
    return found


def _judge_spec(policy: Policy) -> JudgeSpec:
    if policy.judge is None:
        raise RunError("the policy names no judge; add `judge` to gate.yaml.")
    return policy.judge


@dataclass(frozen=True)
class _Work:
    """What there is to judge in a run, once the judge is fit."""

    looks: list[Look]
    scorings: list[Scoring]
    gradings: list[Grading]
    ungraded: list[Grade]
    skipped: list[Role]

    @property
    def calls(self) -> int:
        pairs = sum(not look.identical for look in self.looks)
        return pairs + len(self.scorings) + len(self.gradings)


def judge_run(
    run_dir: Path,
    policy: Policy,
    endpoint: Endpoint | None,
    on_start: Callable[[int], None] | None = None,
    on_response: OnResponse | None = None,
    policy_dir: Path | None = None,
    ask: Asker = ask_all,
) -> Qualification:
    """Examine the judge, then judge the pairs and answers that the policy names.

    Args:
        run_dir: A run whose models have been asked.
        policy: With a `judge`.
        endpoint: The judge's endpoint; None for recorded verdicts.
        on_start: Told how many calls are to be made.
        on_response: Progress.
        policy_dir: Folder of gate.yaml, where files that it names are looked for first.
        ask: How the judge is asked.

    Raises:
        RunError: The judge cannot be reached, or the candidate's answers are not there.
    """
    if policy.judge is None:
        raise RunError(f"{run_dir}: the policy names no judge; add `judge` to gate.yaml.")
    spec = policy.judge
    folders = [*([policy_dir] if policy_dir else []), run_dir, Path()]
    judge = make_judge(policy, endpoint, folders, ask)
    work = _plan_work(run_dir, policy, judge)
    examination = plan_examination(judge, spec, known_pairs_of(spec, folders))
    if on_start:
        on_start(0 if judge.recorded else _calls(examination) + work.calls)
    journal = examination.journal(run_dir)
    examined = examine(examination, journal, run_dir / ANCHOR_RESPONSES, on_response)
    before = qualify([], spec, examined, examination.known)
    done = _do(work, judge, policy, run_dir, on_response) if before.fit else _Done()
    _write_rows(run_dir / EXAMINATION, examined.all)
    done.write(run_dir)
    after = qualify(done.judgments, spec, examined, examination.known)
    found = _finish(before, after, done)
    found.notes = _notes(policy, examination, work.skipped, judged=before.fit)
    found.notes += _failures([*examined.all, *done.judgments])
    write_row(run_dir / QUALIFICATION, found)
    return found


@dataclass(frozen=True)
class _Done:
    """What the judge said about a run; nothing, where it was not asked."""

    judgments: list[Judgment] = field(default_factory=list)
    stopped: list[StoppingRecord] = field(default_factory=list)
    scores: list[RubricScore] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)

    def write(self, run_dir: Path) -> None:
        """Write it, over what an earlier judge said."""
        _write_rows(run_dir / JUDGMENTS, self.judgments)
        write_stopping(run_dir, self.stopped)
        _write_rows(run_dir / RUBRIC_SCORES, self.scores)
        _write_rows(run_dir / GRADES, self.grades)


def _do(
    work: _Work, judge: Judge, policy: Policy, run_dir: Path, on_response: OnResponse | None
) -> _Done:
    """Ask the judge about everything there is to judge."""
    journal = run_dir / RESPONSES
    judgments, stopped = judge_by_plan(
        work.looks, lambda looks: judge_looks(judge, looks, journal, on_response), policy
    )
    scores = score_answers(judge, work.scorings, journal, on_response) if work.scorings else []
    grades = grade_answers(judge, work.gradings, journal, on_response) if work.gradings else []
    return _Done(judgments, stopped, scores, grades + work.ungraded)


def _plan_work(run_dir: Path, policy: Policy, judge: Judge) -> _Work:
    spec = _judge_spec(policy)
    folders = model_folders(run_dir)
    if "candidate" not in folders:
        raise RunError(f"{run_dir}: no answers of the candidate; run `ftgate run` first.")
    opponents = [role for role in needed_opponents(policy) if role in folders]
    graded = any(e.task == MTBENCH for e in policy.eval_sets) and spec.replay is None
    wanted: list[Role] = [r for r in folders if graded or r in ("candidate", *opponents)]
    records = {role: load_model_records(folders[role]).records for role in wanted}
    looks: list[Look] = []
    for role in opponents:
        looks += plan_looks(
            spec.task, role, records["candidate"].get(spec.task, []), records[role].get(spec.task, []),
            question_text, policy.run.seed, spec.limit,
        )  # fmt: skip
    scorings: list[Scoring] = []
    if spec.rubric:
        task = spec.rubric.task
        of_task = {r: records[r].get(task, []) for r in ("candidate", *opponents) if r in records}
        scorings = plan_scorings(of_task, spec.rubric, policy.run.seed)
    gradings = plan_gradings(records) if graded else []
    failed = ungraded(judge, records) if graded else []
    skipped = [r for r in spec.against if r in folders and r not in opponents]
    return _Work(looks, scorings, gradings, failed, skipped)


def _calls(examination: Examination) -> int:
    return len(examination.looks()) + len(examination.anchors())


def _finish(before: Qualification, after: Qualification, done: _Done) -> Qualification:
    """The whole qualification: an unfit judge was not asked further; rubric and grades cost as well."""
    if not before.fit:
        return before
    responses = [s.response for s in done.scores] + [g.response for g in done.grades]
    costs = [response.cost_usd for response in responses if response]
    total = after.cost_usd
    if costs:
        known = [c for c in costs if c is not None]
        total = None if total is None or len(known) < len(costs) else total + sum(known)
    noise = rubric_noise(done.scores)
    return after.model_copy(
        update={"cost_usd": total, "n_calls": after.n_calls + len(costs), "rubric_noise": noise}
    )


def _notes(
    policy: Policy, examination: Examination, skipped: Sequence[Role], *, judged: bool = True
) -> list[str]:
    spec = _judge_spec(policy)
    notes = []
    unknown = [r for r in ("candidate", *spec.against) if r in policy.models and not policy.models[r].family]  # fmt: skip
    if not spec.family or unknown:
        whose = ["the judge", *unknown] if not spec.family else unknown
        notes.append(f"The family of {', '.join(whose)} is not stated: whether the judge is of a competitor's family is unknown.")  # fmt: skip
    elif spec.allow_same_family and (kin := spec.relatives({r: m.family for r, m in policy.models.items()})):  # fmt: skip
        notes.append(f"The judge is of the same family as {', '.join(kin)}; the policy allows it.")
    if examination.judge.recorded is not None:
        notes.append("The verdicts were recorded earlier: no traps and no anchors could be asked.")
        if any(e.task == MTBENCH for e in policy.eval_sets):
            notes.append("MT-Bench was not graded: recorded verdicts hold pairs only.")
    elif spec.qualification_limit is not None:
        notes.append(f"Only the first {len(examination.known.pairs)} known pairs were asked, and as many traps: limits are wide.")  # fmt: skip
    notes += [f"Not judged against {role}: no rule needs it." for role in skipped]
    if not judged:
        notes.append("The run's own answers were not judged: verdicts of an unfit judge would only cost.")  # fmt: skip
    return notes


def _failures(judgments: Sequence[Judgment]) -> list[str]:
    """Why the first of the failed requests failed; the others mostly did for the same reason."""
    errors = [j.response.error for j in judgments if j.response and j.response.error]
    if not errors:
        return []
    return [f"The first of {len(errors)} failed requests: {errors[0]}. An endpoint that does not know JSON Schemas needs judge.response_format."]  # fmt: skip


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    write_text(path, "".join(r.model_dump_json(exclude_none=True) + "\n" for r in rows))
