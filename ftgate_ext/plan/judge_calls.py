"""Policy and sizes -> everything that the judge will be asked at most, part by part.

It counts as the stages count: the examination's own looks, the opponents that a rule needs, the answers
to be scored and graded, the failures to be sorted. Identical answers, early stopping and a judge that fails
its examination make it less.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.findings.by_judge import MAX_CHARS, NONE_FITS, PROMPT, names_for_judge
from ftgate_ext.findings.taxonomy import load_taxonomy
from ftgate_ext.inference.endpoint import Endpoint
from ftgate_ext.judge.examine import is_local, plan_examination
from ftgate_ext.judge.grades import GRADES
from ftgate_ext.judge.opponents import needed_opponents
from ftgate_ext.judge.pairwise import Judge
from ftgate_ext.judge.protocol import grade_prompt, pairwise_prompt, rubric_prompt
from ftgate_ext.judge.rubric import RUBRIC_SCORES
from ftgate_ext.judge.stage import EXAMINATION, JUDGMENTS, known_pairs_of
from ftgate_ext.plan.absent import taking_part
from ftgate_ext.plan.per_request import (
    CHARS_PER_TOKEN,
    GUESSED_PROMPT_TOKENS,
    PerRequest,
    as_measured,
    at_most,
    bound_request,
)
from ftgate_ext.policy_servers import EMBEDDED
from ftgate_ext.schema import Grade, Judgment, RubricScore
from ftgate_ext.scoring.mtbench import MTBENCH
from ftgate_ext.scoring.mtbench import TURNS as MTBENCH_TURNS
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.judge.examine import Examination
    from ftgate_ext.judge.pairwise import Look
    from ftgate_ext.plan.assumptions import EarlierRun
    from ftgate_ext.plan.sets import SizedSet
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_judge import JudgeSpec, RubricSpec
    from ftgate_ext.schema import Role

ORDERS = 2


@dataclass(frozen=True)
class JudgeCalls:
    """One thing that the judge is asked about."""

    what: str
    calls: int
    each: PerRequest
    note: str | None = None
    """What the number rests on."""
    can_batch: bool = True
    """Whether `ftgate judge --batch` asks it in a batch."""


@dataclass(frozen=True)
class _Ground:
    policy: Policy
    judge: JudgeSpec
    sets: dict[str, SizedSet]
    earlier: EarlierRun | None

    def bound(self, task: str) -> PerRequest:
        """What a model takes for one request of a set."""
        return bound_request(self.policy, self.sets[task])


def plan_judge_calls(
    policy: Policy,
    sets: dict[str, SizedSet],
    earlier: EarlierRun | None,
    folder: Path | None = None,
) -> list[JudgeCalls]:
    """What the judge is asked; nothing where its verdicts are recorded.

    Args:
        policy: With or without a judge.
        sets: Sizes of its eval sets.
        earlier: Whose tokens and latency replace guesses.
        folder: Of gate.yaml, to which the files that it names are relative.

    Raises:
        RunError: The known pairs that the policy names cannot be read.
        PolicyError: The failure categories that it names cannot be read.
    """
    judge = policy.judge
    if judge is None or judge.replay is not None:
        return []
    folders = [*([folder] if folder else []), Path()]
    ground = _Ground(policy, judge, sets, earlier)
    parts = [
        *_pairs(ground), *_examination(ground, folders), *_scores(ground), *_grades(ground),
        *_failures(ground, folders[0]),
    ]  # fmt: skip
    return [part for part in parts if part.calls]


def judged_opponents(policy: Policy) -> list[Role]:
    """Whose answers the candidate's are compared with, as far as a rule needs it and they take part."""
    return [role for role in needed_opponents(policy) if role in taking_part(policy)]


# --- the run's own answers, in pairs


def _pairs(ground: _Ground) -> list[JudgeCalls]:
    judge, sized = ground.judge, ground.sets[ground.judge.task]
    calls = ORDERS * min(judge.limit or sized.n, sized.n)
    each = _measured(ground, JUDGMENTS, Judgment)
    if each is None:
        task = ground.bound(judge.task)
        frame = len(pairwise_prompt("", "", "")) / CHARS_PER_TOKEN
        each = at_most(frame + task.input_tokens + 2 * task.output_tokens, judge.max_tokens)
    return [
        JudgeCalls(f"pairs against {role}", calls, each) for role in judged_opponents(ground.policy)
    ]


# --- the examination


def _examination(ground: _Ground, folders: Sequence[Path]) -> list[JudgeCalls]:
    judge = ground.judge
    url = next(iter(judge.endpoints), "")
    server = Endpoint(url, judge.model, more_urls=tuple(judge.endpoints[1:]))
    asked = Judge(server, judge.max_tokens, ground.policy.run.seed, judge.max_reasoning_chars)
    examination = plan_examination(asked, judge, known_pairs_of(judge, folders))
    once = "once: later runs find the answers in the cache folder of the user"
    if judge.endpoint == EMBEDDED or is_local(server):
        once = "in every run, because it answers on this machine"
    anchors = f"{examination.n_anchors:,} known pairs in both orders, in every run: whether the judge has changed"  # fmt: skip
    return [
        _looks(ground, "examination before use", examination.looks(), f"{_contents(examination)}, each in both orders, {once}. A judge that fails is asked nothing more"),
        _looks(ground, "anchors", examination.anchors(), anchors),
    ]  # fmt: skip


def _contents(examination: Examination) -> str:
    n_known, again = len(examination.known.pairs), examination.n_anchors
    again = min(again, n_known)
    traps = len(examination.looks()) // ORDERS - n_known - again
    parts = [f"{n_known:,} pairs with a known better answer", f"{traps:,} traps"]
    return ", ".join([*parts, *([f"{again:,} of the pairs once more"] if again else [])])


def _looks(ground: _Ground, what: str, looks: list[Look], note: str) -> JudgeCalls:
    asked = [look for look in looks if not look.identical]
    each = _measured(ground, EXAMINATION, Judgment)
    if each is None:
        frame = len(pairwise_prompt("", "", ""))
        texts = sum(len(x.question) + len(x.candidate_answer) + len(x.baseline_answer) for x in asked)  # fmt: skip
        chars = frame + texts / max(len(asked), 1)
        each = at_most(chars / CHARS_PER_TOKEN, ground.judge.max_tokens)
    return JudgeCalls(what, len(asked), each, note)


# --- answers by themselves


def _scores(ground: _Ground) -> list[JudgeCalls]:
    spec = ground.judge.rubric
    if spec is None:
        return []
    roles: list[Role] = ["candidate", *judged_opponents(ground.policy)]
    sized, n = ground.sets[spec.task], _scored(ground, spec)
    once_more = round(spec.noise_share * n)
    each = _measured(ground, RUBRIC_SCORES, RubricScore)
    if each is None:
        task = ground.bound(spec.task)
        frame = len(rubric_prompt("", "")) / CHARS_PER_TOKEN
        each = at_most(frame + task.input_tokens + task.output_tokens, ground.judge.max_tokens)
    times = "once" if spec.repeats == 1 else f"{spec.repeats} times"
    note = f"{n:,} answers to {sized.spec.task} of each of {', '.join(roles)}, each {times}, and {percent(spec.noise_share)} of them once more"
    return [JudgeCalls("rubric scores", len(roles) * (n * spec.repeats + once_more), each, note)]


def _scored(ground: _Ground, spec: RubricSpec) -> int:
    sized = ground.sets[spec.task]
    n = sized.n * sized.spec.repeats
    return min(spec.limit or n, n)


def _grades(ground: _Ground) -> list[JudgeCalls]:
    sized = ground.sets.get(MTBENCH)
    if sized is None:
        return []
    roles, talks = taking_part(ground.policy), sized.n * sized.spec.repeats
    frame = len(grade_prompt("", "")) / CHARS_PER_TOKEN
    prompts = _graded_prompts(ground, sized)
    each = _measured(ground, GRADES, Grade)
    if each is None:
        mean = sum(prompts) / max(len(prompts), 1)
        each = at_most(frame + mean, ground.judge.max_tokens)
    turns = len(prompts) * sized.spec.repeats
    known = "" if sized.members else f", {MTBENCH_TURNS} turns each (its questions are not here)"
    note = f"every turn of {talks:,} conversations{known} of each of {', '.join(roles)}"
    return [JudgeCalls("MT-Bench grades", turns * len(roles), each, note)]


def _graded_prompts(ground: _Ground, sized: SizedSet) -> list[float]:
    """Tokens of what is graded, turn by turn: all that was said until then, and right answers."""
    answer = ground.bound(MTBENCH).output_tokens
    if not sized.members:
        one = [GUESSED_PROMPT_TOKENS + k * answer for k in range(1, MTBENCH_TURNS + 1)]
        return one * sized.n
    prompts = []
    for doc in (doc for member in sized.members for doc in member.docs()):
        said, right = list(doc.get("turns") or [""]), list(doc.get("reference") or [])
        for k in range(1, len(said) + 1):
            chars = sum(len(str(text or "")) for text in [*said[:k], *right[:k]])
            prompts.append(chars / CHARS_PER_TOKEN + k * answer)
    return prompts


# --- failures that no rule sorts


def _failures(ground: _Ground, folder: Path) -> list[JudgeCalls]:
    policy, most = ground.policy, ground.policy.sort_failures
    roles = taking_part(policy)
    answers = len(roles) * sum(sized.n for sized in ground.sets.values())
    names = names_for_judge(load_taxonomy(folder / policy.taxonomy) if policy.taxonomy else None)
    frame = len(PROMPT) + sum(len(name) + len(meaning) for name, meaning in names.items()) + len(NONE_FITS)  # fmt: skip
    note = (
        f"at most {most:,} (sort_failures): how many failures no rule sorts is known after the run; what was "
        "expected counted as long as an answer; never in a batch"
    )
    each = at_most(frame / CHARS_PER_TOKEN + _failed_texts(ground), ground.judge.max_tokens)
    return [JudgeCalls("failures to be sorted", min(most, answers), each, note, can_batch=False)]


def _failed_texts(ground: _Ground) -> float:
    """Tokens of request, expected and answer, as far as the judge is shown them."""
    most = MAX_CHARS / CHARS_PER_TOKEN
    n = sum(sized.n for sized in ground.sets.values())
    bounds = [(sized.n, ground.bound(task)) for task, sized in ground.sets.items()]
    tokens = [k * (min(b.input_tokens, most) + 2 * min(b.output_tokens, most)) for k, b in bounds]
    return sum(tokens) / max(n, 1)


def _measured(
    ground: _Ground, name: str, kind: type[Judgment | RubricScore | Grade]
) -> PerRequest | None:
    if ground.earlier is None:
        return None
    found = ground.earlier.per_judge_call(ground.judge.model, name, kind)
    return None if found is None else as_measured(found)
