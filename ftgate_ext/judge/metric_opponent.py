"""For the judge as a metric of lm-eval: the opponent's answers and the judge, and judging all pairs at once.

Answers of the judge are kept in the user's cache folder, so that the same pairs cost nothing again. What
answers on this machine under some name may be another model tomorrow: it is asked anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ftgate_ext.inference.client import Endpoint, check_endpoint
from ftgate_ext.inference.endpoints import embedded_engine, endpoint_of
from ftgate_ext.inference.weights import default_cache_dir
from ftgate_ext.judge.conversations import question_text
from ftgate_ext.judge.examine import CACHE, is_local
from ftgate_ext.judge.metric import doc_key
from ftgate_ext.judge.pairwise import Judge, judge_looks, plan_looks
from ftgate_ext.judge.qualification import qualify
from ftgate_ext.policy_judge import JudgeSpec
from ftgate_ext.policy_problems import describe_problem
from ftgate_ext.policy_servers import EMBEDDED, RunSpec
from ftgate_ext.prices import load_prices, resolve_price, unlisted
from ftgate_ext.samples import read_task
from ftgate_ext.schema import PolicyError, RunError
from ftgate_ext.scores import is_unanswered
from ftgate_ext.winrate import pair_verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.samples import Record
    from ftgate_ext.schema import Judgment

PREFIX = "samples_"


@dataclass(frozen=True)
class Opponent:
    """Another model's answers, and who judges them."""

    file: Path
    records: dict[str, Record]
    """Row as text -> what the opponent answered."""
    spec: JudgeSpec

    def find(self, doc: dict[str, Any]) -> Record | None:
        """What the opponent answered to this very row, if it answered."""
        return self.records.get(doc_key(doc))

    @staticmethod
    def answered(record: Record, answer: str) -> Record:
        """The same case with the candidate's answer."""
        return record._replace(answer=str(answer), response=None, scores={}, later=())


def load_opponent(samples: str, judge: str) -> Opponent:
    """Read both files, and see that the judge answers, before the model is asked anything.

    Args:
        samples: The opponent's samples_*.jsonl.
        judge: YAML with a judge.

    Raises:
        RunError: The samples cannot be read, or hold no answer; the judge cannot be reached.
        PolicyError: The judge's YAML is wrong.
    """
    path = Path(samples)
    if not path.is_file():
        raise RunError(f"--metadata opponent: {path}: no such file; expected samples_*.jsonl of another model's run with --log_samples.")  # fmt: skip
    task = path.stem.removeprefix(PREFIX).rpartition("_")[0] or path.stem
    spec = read_judge(Path(judge), task)
    found = {doc_key(r.doc): r for r in read_task(task, path) if not is_unanswered(r)}
    if not found:
        raise RunError(f"--metadata opponent: {path}: holds no answer; name the samples of a finished run.")  # fmt: skip
    if spec.endpoint != EMBEDDED:
        check_endpoint(endpoint_of(spec, RunSpec(), None))
    return Opponent(path, found, spec)


def read_judge(path: Path, task: str) -> JudgeSpec:
    """The judge that a YAML file describes: the section `judge` of a gate.yaml, or the whole of one.

    Raises:
        PolicyError: It cannot be read or breaks the schema; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node, content = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise PolicyError(f"--metadata judge: {path}: cannot be read ({reason}).") from None
    if node is not None and isinstance(content, dict) and isinstance(content.get("judge"), dict):
        content = content["judge"]
        node = next(value for key, value in node.value if key.value == "judge")
    if node is None or not isinstance(content, dict):
        raise PolicyError(f"{path}:1: expected the `judge` section of a gate.yaml: endpoint, model ...")  # fmt: skip
    try:
        spec = JudgeSpec.model_validate({"task": task} | content)
    except ValidationError as error:
        schema = JudgeSpec.model_json_schema()
        raise PolicyError(describe_problem(error, node, str(path), schema)) from None
    if spec.replay is not None:
        raise PolicyError(f"{path}: `replay` judges no new answers; name a judge's endpoint.")
    if (name := spec.price.listed) is not None:
        listed = load_prices(path.parent)
        try:
            spec.price = resolve_price(spec.price, listed)
        except KeyError:
            raise PolicyError(f"{path}: {unlisted(name, listed)}.") from None
    return spec


def judge_pairs(
    opponent: Opponent, pairs: Sequence[tuple[Record, Record]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Judge all pairs in both orders.

    Args:
        opponent: Who judges.
        pairs: The candidate's answer and the opponent's, to the same row each.

    Returns:
        For each pair `verdict` (None where the judge's `limit` left it out) and `consistent` (None
        where that cannot be said), and lines for the user.
    """
    spec, run = opponent.spec, RunSpec()
    task = pairs[0][0].task
    names = [spec.model] if spec.endpoint == EMBEDDED else []
    with embedded_engine(names) as url:
        endpoint = endpoint_of(spec, run, url)
        judge = Judge(
            endpoint, spec.max_tokens, run.seed, spec.max_reasoning_chars, spec.response_format
        )
        mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
        looks = plan_looks(task, "production", mine, theirs, question_text, run.seed, spec.limit)
        hashes = [look.pair_hash for look in looks]
        judgments = judge_looks(judge, looks, _journal(endpoint, judge.fingerprint, hashes))
    verdicts = {doc: verdict for (_, _, (doc, _)), verdict in pair_verdicts(judgments).items()}
    alike = _alike(judgments)
    found = [
        {"verdict": verdicts.get(a.doc_hash), "consistent": alike.get(a.doc_hash)} for a in mine
    ]
    return found, _lines(judgments, opponent)


def _journal(endpoint: Endpoint, fingerprint: str, hashes: Sequence[str]) -> Path:
    """Of these very pairs, so that runs side by side do not wait for each other."""
    whole = "\0".join([fingerprint, *endpoint.urls, *sorted(hashes)])
    name = hashlib.sha256(whole.encode()).hexdigest()[:16]
    path = default_cache_dir() / CACHE / f"metric-{name}.jsonl"
    if is_local(endpoint):
        path.unlink(missing_ok=True)
    return path


def _alike(judgments: Sequence[Judgment]) -> dict[str, bool]:
    """Row -> whether both orders had the same verdict, where both have one."""
    seen: dict[str, list[str]] = {}
    for judgment in judgments:
        if not judgment.identical and judgment.verdict not in ("unparsed", "failed"):
            seen.setdefault(judgment.doc_hash, []).append(judgment.verdict)
    return {doc: both[0] == both[1] for doc, both in seen.items() if len(both) == 2}


def _lines(judgments: list[Judgment], opponent: Opponent) -> list[str]:
    found = qualify(judgments, opponent.spec)
    cost = "" if found.cost_usd is None else f" for ${found.cost_usd:.4f}"
    lines = [
        f"{found.n_pairs} pairs against {opponent.file.name} were judged by {found.judge_model}{cost}. Whether it may be believed is not examined here: `ftgate judge qualify` does."
    ]
    return lines + [f"The judge's verdicts speak against it: {reason}" for reason in found.reasons]
