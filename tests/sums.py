"""Two tasks of one's own, `sums` and `products`: the number in a question is its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_YAML = """\
task: {name}
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {{file: {name}.jsonl}}
test_split: test
num_fewshot: 0
output_type: generate_until
doc_to_text: "{{{{ question }}}}"
doc_to_target: "{{{{ answer }}}}"
generation_kwargs: {{until: [], max_gen_toks: {max_gen_toks}}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


def write_sums(folder: Path, n: int, max_gen_toks: int = 8) -> Path:
    """Write both tasks with n questions each into `tasks` of a folder; returns that."""
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    for name in ("sums", "products"):
        rows = [{"id": f"{name}-{i}", "question": f"{name} {i}?", "answer": f"{i}"} for i in range(n)]  # fmt: skip
        (tasks / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        (tasks / f"{name}.yaml").write_text(_YAML.format(name=name, max_gen_toks=max_gen_toks))
    return tasks
