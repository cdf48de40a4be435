"""Published results of real models, recomputed: what the sources print is what ftgate prints."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from public_data import FOLDER, needs_public_data
from records import make_policy

from ftgate_ext.decision import decide
from ftgate_ext.settings import Settings
from ftgate_ext.stages import compare_folders
from ftgate_ext.stats.paired_binary import mcnemar_exact
from ftgate_ext.stats.preference import weighted_win_rate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ftgate_ext.schema import Comparisons

pytestmark = needs_public_data

QUANTIZED = FOLDER / "flipeval/results/kaggle_qwen25_1p5b_public_quantized"
TASK = "mmlu_saved"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- AlpacaEval 2: nine models against GPT-4 Turbo


def test_win_rates_and_standard_errors_equal_the_leaderboards() -> None:
    """All nine models whose single preferences are published, to five decimals of a percent."""
    preferences: dict[str, list[float]] = defaultdict(list)
    with gzip.open(FOLDER / "alpaca_eval/annotations_compact.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            if row["preference"] is not None:
                preferences[row["leaderboard_name"]].append(row["preference"] - 1)
    leaderboard = FOLDER / "alpaca_eval/leaderboard_weighted_alpaca_eval_gpt4_turbo.csv"
    published = {row[""]: row for row in read_csv(leaderboard)}

    found = {name: weighted_win_rate(p) for name, p in preferences.items() if name in published}

    assert len(found) == 9
    for name, rate in found.items():
        assert rate.n == 805
        assert 100 * rate.rate == pytest.approx(float(published[name]["win_rate"]), abs=5e-6)
        assert 100 * (rate.standard_error or 0) == pytest.approx(
            float(published[name]["standard_error"]), abs=5e-6
        )


# --- flipeval: a quantised model against its original


@pytest.mark.parametrize("row", range(4))
def test_mcnemar_p_values_of_quantised_models(row: int) -> None:
    """From the answers themselves: flips either way and McNemar's exact p as published."""
    published = read_csv(QUANTIZED / "pair_summary.csv")[row]
    task, method = published["task"], published["method"]
    before, after = (correct(QUANTIZED / f"{name}.{task}.jsonl") for name in ("fp16", method))
    assert before.keys() == after.keys()

    lost = sum(before[i] and not after[i] for i in before)
    gained = sum(after[i] and not before[i] for i in before)

    assert (lost, gained) == (
        int(published["mcnemar_b_harmful"]), int(published["mcnemar_c_beneficial"]),
    )  # fmt: skip
    assert mcnemar_exact(gained, lost) == pytest.approx(float(published["mcnemar_p"]), rel=1e-9)


def correct(path: Path) -> dict[str, bool]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {row["item_id"]: row["correct"] for row in rows}


# --- two checkpoints of a fine-tune on 12,343 questions of MMLU


def write_results(folder: Path, scores: Iterable[tuple[dict[str, Any], int]]) -> Path:
    """What a bare `lm_eval --log_samples` leaves, of one multiple-choice task."""
    folder.mkdir(parents=True)
    stamp = "2026-01-01T00-00-00.000000"
    results = {"configs": {TASK: {}}, "higher_is_better": {TASK: {"acc": True}}}
    (folder / f"results_{stamp}.json").write_text(json.dumps(results))
    with (folder / f"samples_{TASK}_{stamp}.jsonl").open("w") as file:
        for i, (doc, score) in enumerate(scores):
            sample = {
                "doc_id": i, "doc": doc, "target": doc["answer"], "resps": [[["-1.0", "False"]]],
                "arguments": {"gen_args_0": {"arg_0": doc["question_sha"], "arg_1": " A"}},
                "filter": "none", "metrics": ["acc"], "acc": float(score),
                "doc_hash": f"{doc['subject']}-{doc['idx']}", "prompt_hash": doc["question_sha"],
            }  # fmt: skip
            file.write(json.dumps(sample) + "\n")
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoint 0 as production, checkpoint 100 as candidate."""
    rows = read_csv(FOLDER / "mmlu_checkpoints_openfedllm/mmlu_predictions.csv")
    folder = tmp_path_factory.mktemp("mmlu")
    keys = ("subject", "idx", "answer", "question_sha")
    return {
        role: write_results(
            folder / role,
            (
                ({k: row[k] for k in keys}, "ABCD"[int(row["answer"])] == row[f"pred_ckpt_{step}"])
                for row in rows
            ),
        )
        for role, step in (("candidate", 100), ("production", 0))
    }


@pytest.fixture(scope="module")
def compared(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Comparisons:
    """Every question for itself."""
    output = tmp_path_factory.mktemp("plain")
    return compare_folders(checkpoints, output, "mmlu", Settings())  # type: ignore[arg-type]


def test_a_small_drop_on_many_questions_is_seen_because_they_are_paired(
    compared: Comparisons,
) -> None:
    """640 lost and 555 gained of 12,343: -0.69 pt with z 2.46; two unpaired errors see only 1.08."""
    (found,) = compared.comparisons
    assert (found.n_pairs, found.counts["only_baseline"], found.counts["only_candidate"]) == (
        12_343, 640, 555,
    )  # fmt: skip
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-0.0069, abs=5e-5)
    assert -found.difference.value / (found.standard_error or 1) == pytest.approx(2.46, abs=0.005)
    own = [level.estimate.value for level in compared.levels if level.estimate]
    unpaired = sum(p * (1 - p) / 12_343 for p in own) ** 0.5
    assert -found.difference.value / unpaired == pytest.approx(1.08, abs=0.005)


MARGINS = {0.5: "INCONCLUSIVE", 1: "INCONCLUSIVE", 2: "PASS"}


def outcomes(compared: Comparisons) -> dict[float, str]:
    rules = [
        {"kind": "non_inferiority", "name": f"{m}", "task": TASK, "metric": "acc", "margin_pt": m}
        for m in MARGINS
    ]
    decision = decide(make_policy(*rules, tasks=[TASK]), compared, None, date(2026, 6, 1))
    return {float(rule.name): rule.outcome for rule in decision.rules}


def test_margins_decide_what_the_same_drop_means(compared: Comparisons) -> None:
    """Half a point and one point can be neither shown nor excluded; two points are excluded."""
    assert outcomes(compared) == MARGINS


def test_margins_with_questions_clustered_by_subject(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """55 subjects as clusters: the same verdicts, from CR1 and t with 54 degrees of freedom."""
    settings = Settings(cluster_fields={"*": "subject"})

    compared = compare_folders(checkpoints, tmp_path, "mmlu", settings)  # type: ignore[arg-type]

    assert compared.comparisons[0].n_clusters == 55
    assert outcomes(compared) == MARGINS


def test_the_command_says_it_too(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """`ftgate compare` on two bare folders, with clusters."""
    pairs = [f"{role}={folder}" for role, folder in checkpoints.items()]

    done = ftgate("compare", *pairs, "--cluster", "subject", "--output", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert "-0.7 pt" in done.stdout
    assert "12343" in done.stdout.replace(",", "")
