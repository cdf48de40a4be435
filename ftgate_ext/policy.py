"""gate.yaml -> Policy: what to compare, on what, and what must hold. Knows no files of a run."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ftgate_ext.policy_judge import JudgeSpec
from ftgate_ext.policy_problems import describe_problem, near, repeated_key
from ftgate_ext.policy_rules import AnyRoute, PlainRule, Rule, WinRate, metrics_of, plain_rules
from ftgate_ext.policy_servers import SAY_NOTHING_OF_ANSWERS, ModelSpec, RunSpec
from ftgate_ext.schema import ROLES, PolicyError, Role, Row

if TYPE_CHECKING:
    from pathlib import Path

EvalKind = Literal["golden", "shadow", "regression", "capability", "safety", "format"]


class EvalSet(Row):
    """One lm-eval task of the comparison."""

    task: str
    """Name of an lm-eval task: one of ours, of `task_paths`, or built into lm-eval."""
    kind: EvalKind
    limit: int | None = Field(default=None, ge=1)
    """Ask only the first so many cases."""
    repeats: int = Field(default=1, ge=1, le=100)
    """Ask every case so often; repeats are averaged per case before anything is compared."""
    cluster: str = "cluster"
    """The field of the row that says which cases belong together, where rows have it."""
    cases: int | None = Field(default=None, ge=1)
    """For `plan`: how many cases there are, where the data is not at hand to be counted."""
    local: bool = False
    """The shipped set was changed here on purpose: do not hold its bytes against the manifest."""


class Selection(Row):
    """The candidate was the best of several checkpoints on some of these eval sets."""

    checkpoints: int = Field(ge=2)
    """How many were compared there: the best of ten is 2.7 pt ahead by luck alone."""
    tasks: list[str] = Field(min_length=1)


class Looks(Row):
    """Interim decisions: adding cases and asking again stays honest when it is planned."""

    planned: int = Field(ge=2, le=20)
    boundary: Literal["pocock", "obrien_fleming"] = "obrien_fleming"
    """pocock spends the error evenly; obrien_fleming keeps nearly all of it for the last look."""


class Approval(Row):
    """Somebody takes the responsibility for a failed rule or a regressed case."""

    rule: str
    """Name of the rule."""
    cases: list[str] = []
    """Case ids that are approved; none means the whole rule."""
    by: str
    reason: str
    until: date
    """Last day on which the approval holds."""


class Policy(Row):
    """The whole of gate.yaml."""

    version: Literal[1]
    name: str
    models: dict[Role, ModelSpec]
    eval_sets: list[EvalSet] = Field(min_length=1)
    task_paths: list[str] = []
    """Folders with further lm-eval task YAMLs, relative to gate.yaml."""
    training_data: list[str] = []
    """JSONL files that the candidate was trained on, relative to gate.yaml: eval cases are looked for in them."""
    judge: JudgeSpec | None = None
    run: RunSpec = RunSpec()
    rules: list[Rule] = Field(min_length=1)
    approvals: list[Approval] = []
    selection: Selection | None = None
    looks: Looks | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        if "candidate" not in self.models:
            raise ValueError("models: no `candidate`; a gate needs one")
        tasks = [s.task for s in self.eval_sets]
        inner = plain_rules(self.rules)
        names = [r.name for r in self.rules if isinstance(r, AnyRoute)] + [r.name for r in inner]
        for what, values in (("eval_sets: task", tasks), ("rules: name", names)):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} stands there twice; each may stand once")
        for rule in inner:
            self._check_rule(rule, tasks)
        for task in self.selection.tasks if self.selection else []:
            if task not in tasks:
                raise ValueError(
                    f"selection.tasks: {task!r} is not among eval_sets{near(task, tasks)}"
                )
        for approval in self.approvals:
            if approval.rule not in names:
                raise ValueError(
                    f"approvals: there is no rule {approval.rule!r}{near(approval.rule, names)}"
                )
        if self.judge and self.judge.task not in tasks:
            raise ValueError(
                f"judge.task {self.judge.task!r} is not among eval_sets{near(self.judge.task, tasks)}"
            )
        return self

    def _check_rule(self, rule: PlainRule, tasks: list[str]) -> None:
        for task in (benchmark.task for benchmark in metrics_of(rule)):
            if task not in tasks:
                raise ValueError(
                    f"rule {rule.name!r}: task {task!r} is not among eval_sets{near(task, tasks)}"
                )
        against = getattr(rule, "against", None)
        if against is not None and against not in self.models:
            raise ValueError(
                f"rule {rule.name!r}: there is no model {against!r}; models: {', '.join(self.models)}"
            )
        if isinstance(rule, WinRate) and (
            self.judge is None or rule.against not in self.judge.against
        ):
            raise ValueError(
                f"rule {rule.name!r}: no judge compares with {rule.against!r}; add it to judge.against"
            )

    @property
    def roles(self) -> list[Role]:
        """The roles of the comparison in their fixed order."""
        return [r for r in ROLES if r in self.models]

    @property
    def policy_hash(self) -> str:
        """sha256 of the whole policy, independent of layout and comments."""
        return _hash(self.model_dump(mode="json"))

    @property
    def generation_hash(self) -> str:
        """sha256 of what decides which answers are generated: models, eval sets and settings."""
        whole = self.model_dump(mode="json", include={"models", "task_paths", "run"})
        # Not the limit: more cases may be added to a run.
        whole["eval_sets"] = [[e.task, e.kind, e.repeats] for e in self.eval_sets]
        whole["run"] = {"seed": self.run.seed, "max_tokens": self.run.max_tokens}
        for model in whole["models"].values():
            for key in SAY_NOTHING_OF_ANSWERS:
                model.pop(key)
        return _hash(whole)


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class _Loader(yaml.SafeLoader):
    """YAML without dates: the schema reads `until`, and a name may look like one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Args:
        path: A gate.yaml.

    Raises:
        PolicyError: The file cannot be read or breaks the schema; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(f"{path}: no such file; `ftgate init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read ({error}).") from None
    return parse_policy(text, str(path))


def parse_policy(text: str, where: str) -> Policy:
    """Turn the text of a gate.yaml into a Policy; `where` stands in error messages.

    Raises:
        PolicyError: The first mistake, with its line and what was expected.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise PolicyError(f"{where}:{at + 1}: not valid YAML ({problem}); mend the line.") from None
    if not isinstance(content, dict) or node is None:
        raise PolicyError(
            f"{where}:1: expected a mapping with version, name, models, eval_sets and rules."
        )
    twice = repeated_key(node)
    if twice:
        raise PolicyError(
            f"{where}:{twice.start_mark.line + 1}: key {twice.value!r} stands there twice, and YAML would drop the first; keep one."
        )
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        raise PolicyError(describe_problem(error, node, where, policy_json_schema())) from None


def policy_json_schema() -> dict[str, Any]:
    """The JSON Schema of gate.yaml, as published in `configs/gate.schema.json`."""
    return Policy.model_json_schema()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(policy_json_schema(), indent=2, ensure_ascii=False) + "\n")
