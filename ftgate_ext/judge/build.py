"""golden/sources/judge.yaml -> golden/judge/pairs.jsonl: 120 pairs whose better answer is known.

`python -m ftgate_ext.judge.build` writes them, byte for byte the same everywhere. The code and its truth are
those of the golden set; which answer stands as A, and the order of the pairs, are drawn from a seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.cards import with_counts
from ftgate_ext.evalset.versions import Manifest, SetManifest, manifest_text
from ftgate_ext.runs import write_text
from ftgate_ext.schema import KnownLabel, KnownPair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE, VERSION = "pairs.jsonl", "1.0.0"
PROVENANCE = "authored for this project: answers to golden cases, whose truth is known"
SEED = 13
RIGHT_GRADE = 5
GRADES = {
    "wrong_defect": 1,
    "hallucination": 1,
    "approves": 1,
    "false_alarm": 1,
    "wrong_line": 2,
    "vague": 2,
}
"""Kind of a wrong answer -> its grade from 1 to 5."""


def build_pairs(golden: Path) -> list[KnownPair]:
    """The pairs, in their final order.

    Args:
        golden: The folder with sources/judge.yaml and codereview_golden.jsonl.
    """
    source = yaml.safe_load((golden / "sources" / "judge.yaml").read_text(encoding="utf-8"))
    lines = (golden / "codereview_golden.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    pairs = [pair for item in source for pair in _pairs_of(item, rows[item["case"]])]
    random.Random(SEED).shuffle(pairs)
    met: Counter[tuple[object, ...]] = Counter()
    placed = []
    for number, pair in enumerate(pairs, start=1):
        longer = len(pair["answer_a"]) > len(pair["answer_b"])
        kind = (pair["label"], longer, pair["kind"] if pair["label"] == "tie" else "")
        met[kind] += 1
        placed.append(_placed(pair, number, turned=met[kind] % 2 == 0))
    return placed


def _pairs_of(item: dict[str, Any], row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Three pairs on one question, with the better answer, or the first of two equal ones, as A."""
    question = f"{item['ask']}\n\n```{row['language']}\n{row['code']}\n```"
    base = {"question": question, "group": item["case"]}
    long_kind, long_text = item["wrong_long"]
    short_kind, short_text = item["wrong_short"]
    yield base | _decided(item["right_short"], long_kind, long_text)
    yield base | _decided(item["right_long"], short_kind, short_text)
    if "same" in item:
        name, style, text = item["same"]
        yield base | {
            "answer_a": item[name], "answer_b": text, "label": "tie", "kind": f"same content, {style}",
            "grade_a": RIGHT_GRADE, "grade_b": RIGHT_GRADE,
        }  # fmt: skip
    elif "more" in item:
        length, kind, text = item["more"]
        yield base | _decided(item[f"right_{length}"], kind, text)
    else:
        yield base | {
            "answer_a": long_text, "answer_b": short_text, "label": "both_bad", "kind": "both wrong",
            "grade_a": GRADES[long_kind], "grade_b": GRADES[short_kind],
        }  # fmt: skip


def _decided(right: str, kind: str, wrong: str) -> dict[str, Any]:
    return {
        "answer_a": right, "answer_b": wrong, "label": "A_better", "kind": kind.replace("_", " "),
        "grade_a": RIGHT_GRADE, "grade_b": GRADES[kind],
    }  # fmt: skip


def _placed(pair: dict[str, Any], number: int, *, turned: bool) -> KnownPair:
    """Turned round or not, so that no position is better, or longer, more often."""
    label: KnownLabel = pair["label"]
    if turned:
        pair = pair | {
            "answer_a": pair["answer_b"], "answer_b": pair["answer_a"],
            "grade_a": pair["grade_b"], "grade_b": pair["grade_a"],
        }  # fmt: skip
        label = "B_better" if label == "A_better" else label
    return KnownPair(**pair | {"id": f"pair-{number:03}", "label": label})


def pairs_text(pairs: list[KnownPair]) -> str:
    """The JSONL as it is shipped."""
    lines = (json.dumps(p.model_dump(exclude_none=True), ensure_ascii=False) for p in pairs)
    return "".join(line + "\n" for line in lines)


def describe_pairs(pairs: list[KnownPair], text: str) -> SetManifest:
    """What the file is, as the manifest of the eval sets describes theirs."""
    counts: dict[str, Counter[str]] = {
        "label": Counter(p.label for p in pairs),
        "kind": Counter(p.kind for p in pairs),
        "language": Counter(p.question.rsplit("\n```", 2)[1].split("\n")[0] for p in pairs),
    }
    return SetManifest(
        file=FILE, sha256=hashlib.sha256(text.encode()).hexdigest(), rows=len(pairs), version=VERSION,
        clusters=len({p.group for p in pairs}), provenance=PROVENANCE, licence="Apache-2.0",
        counts={field: dict(sorted(c.items(), key=lambda x: (-x[1], x[0]))) for field, c in counts.items()},
    )  # fmt: skip


def build_files(golden: Path) -> dict[str, str]:
    """Name of a file in golden/judge -> its text: pairs, manifest, and the card with its counts."""
    pairs = build_pairs(golden)
    text = pairs_text(pairs)
    described = describe_pairs(pairs, text)
    manifest = Manifest(
        generator="python -m ftgate_ext.judge.build", generator_version=VERSION, seed=SEED, sets={"judge_pairs": described}
    )  # fmt: skip
    card = (golden / "judge" / "pairs.md").read_text(encoding="utf-8")
    return {
        FILE: text, "manifest.json": manifest_text(manifest), "pairs.md": with_counts(card, described),
    }  # fmt: skip


if __name__ == "__main__":
    GOLDEN = asset_dir("golden")
    for name, content in build_files(GOLDEN).items():
        write_text(GOLDEN / "judge" / name, content)
