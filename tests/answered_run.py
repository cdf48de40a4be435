"""A run folder of models that were asked, before anything is judged or compared; for tests of judges and labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from records import METRIC, TASK

from ftgate_ext.schema import ModelCard, RunManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Role

STAMP = "2026-01-01T00-00-00.000000"


def write_answered_run(
    folder: Path,
    policy: Policy,
    roles: Sequence[Role],
    docs: Sequence[dict[str, Any]],
    answer: Callable[[Role, int], str],
) -> Path:
    """Write policy, manifest, and what every model answered to every case; returns the folder.

    Args:
        folder: The run folder, which is made.
        policy: Its copy lies in the folder.
        roles: The models.
        docs: The rows of the set.
        answer: Of a model to the row of this number.
    """
    folder.mkdir()
    content = policy.model_dump(mode="json", exclude_none=True)
    (folder / "gate.yaml").write_text(json.dumps(content), encoding="utf-8")
    manifest = RunManifest(
        run_id="toy", policy_name=policy.name, policy_hash=policy.policy_hash, seed=1, concurrency=1,
        generation_hash=policy.generation_hash, created_at="2026-01-01T00:00:00+00:00", versions={},
        models=[ModelCard(role=r, name=r, model="toy", endpoint="http://localhost:1/v1", hosting="here") for r in roles],
    )  # fmt: skip
    (folder / "run.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    results = {"configs": {TASK: {}}, "higher_is_better": {TASK: {METRIC: True}}}
    for role in roles:
        (folder / role).mkdir()
        (folder / role / f"results_{STAMP}.json").write_text(json.dumps(results), encoding="utf-8")
        lines = [
            json.dumps({
                "doc_id": i, "doc": doc, "target": "", "filter": "none",
                "arguments": {"gen_args_0": {"arg_0": f"question {i}"}},
                "resps": [[answer(role, i)]], "metrics": [METRIC],
                "doc_hash": str(i), "prompt_hash": str(i), METRIC: 1,
            })
            for i, doc in enumerate(docs)
        ]  # fmt: skip
        (folder / role / f"samples_{TASK}_{STAMP}.jsonl").write_text("\n".join(lines), "utf-8")
    return folder
