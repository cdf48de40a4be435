"""gate.yaml -> Policy: what to compare, on what, and what must hold. Knows no files of a run."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ftgate_ext.capability.variants import VariantName
from ftgate_ext.policy_benchmarks import name_variants
from ftgate_ext.policy_judge import JudgeSpec
from ftgate_ext.policy_problems import describe_problem, line_of, near, repeated_key
from ftgate_ext.policy_rules import AnyRoute, PlainRule, Rule, WinRate, metrics_of, plain_rules
from ftgate_ext.policy_servers import SAY_NOTHING_OF_ANSWERS, ModelSpec, RunSpec
from ftgate_ext.policy_signals import AlertsSpec, TracesSpec
from ftgate_ext.prices import load_prices, resolve_price, unlisted
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
    sample: int | None = Field(default=None, ge=1)
    """Ask so many cases, drawn by `run.seed` and spread over the tasks of a group by their sizes."""
    fewshot: int | None = Field(default=None, ge=0)
    """Worked examples before each question; the task's own number when left out."""
    variant: VariantName | None = None
    """For a benchmark named plainly (mmlu, hellaswag): how to ask it; chosen by the models when left out."""
    asked_for: str | None = None
    """Filled in: the plain name of the benchmark that this task is the variant of."""

    @model_validator(mode="after")
    def _one_choice_of_cases(self) -> EvalSet:
        if self.limit and self.sample:
            raise ValueError("`limit` and `sample` both say which cases are asked; keep one")
        return self

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
    data: str | None = None
    """Folder with local copies of benchmarks (mmlu, gsm8k, humaneval, mtbench, ifeval), relative to gate.yaml."""
    training_data: list[str] = []
    """JSONL files that the candidate was trained on, relative to gate.yaml: eval cases are looked for in them."""
    judge: JudgeSpec | None = None
    run: RunSpec = RunSpec()
    rules: list[Rule] = Field(min_length=1)
    approvals: list[Approval] = []
    selection: Selection | None = None
    looks: Looks | None = None
    taxonomy: str | None = None
    """YAML file with failure categories of your own, relative to gate.yaml; ten are built in."""
    sort_failures: int = Field(default=0, ge=0)
    """Most failures that a fit judge sorts into categories where no rule can, one call each; 0 asks for none."""
    traces: TracesSpec = TracesSpec()
    alerts: AlertsSpec | None = None
    """Whom `gate` tells at its end what got worse; nobody when left out."""

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
        if self.judge:
            self._check_judge(self.judge, tasks)
        return self

    def _check_judge(self, judge: JudgeSpec, tasks: list[str]) -> None:
        for task in [judge.task, *([judge.rubric.task] if judge.rubric else [])]:
            if task not in tasks:
                raise ValueError(f"judge.task {task!r} is not among eval_sets{near(task, tasks)}")
        families = {role: model.family for role, model in self.models.items()}
        kin = [] if judge.allow_same_family else judge.relatives(families)
        if kin:
            raise ValueError(
                f"judge {judge.model!r} is of the same family ({judge.family}) as {', '.join(kin)}; name another judge, or set judge.allow_same_family"
            )

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
        """sha256 of all that decides, independent of layout and comments; not of whom it is told."""
        return _hash(self.model_dump(mode="json", exclude={"traces", "alerts"}))

    @property
    def generation_hash(self) -> str:
        """sha256 of what decides which answers are generated: models, eval sets and settings."""
        return _hash(self._generation())

    @property
    def hash_elsewhere(self) -> str:
        """The same without the addresses: equal for a run whose models were served anew elsewhere."""
        whole = self._generation()
        for model in whole["models"].values():
            model.pop("endpoint")
        return _hash(whole)

    def _generation(self) -> dict[str, Any]:
        whole = self.model_dump(mode="json", include={"models", "task_paths", "run"})
        # Not the limit: more cases may be added to a run.
        whole["eval_sets"] = [[e.task, e.kind, e.repeats, e.fewshot] for e in self.eval_sets]
        whole["run"] = {"seed": self.run.seed, "max_tokens": self.run.max_tokens}
        for model in whole["models"].values():
            for key in SAY_NOTHING_OF_ANSWERS:
                model.pop(key)
        return dict(whole)


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
    return parse_policy(text, str(path), path.parent)


def parse_policy(text: str, where: str, folder: Path | None = None) -> Policy:
    """Turn the text of a gate.yaml into a Policy.

    Args:
        text: The file.
        where: Its name, for error messages.
        folder: Where its own price list may lie; only the shipped one counts when left out.

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
        policy = Policy.model_validate(_named_variants(content, node, where))
    except ValidationError as error:
        raise PolicyError(describe_problem(error, node, where, policy_json_schema())) from None
    return _with_listed_prices(policy, folder, node, where)


def _named_variants(content: dict[str, Any], node: yaml.Node, where: str) -> dict[str, Any]:
    try:
        return name_variants(content)
    except ValueError as error:
        at = line_of(node, str(error).partition(":")[0])
        raise PolicyError(f"{where}:{at or 1}: {error}.") from None


def _with_listed_prices(policy: Policy, folder: Path | None, node: yaml.Node, where: str) -> Policy:
    """The policy with figures in place of names in the price list."""
    specs = [*policy.models.values(), *([policy.judge] if policy.judge else [])]
    named = [spec for spec in specs if spec.price.listed is not None]
    listed = load_prices(folder) if named else {}
    for spec in named:
        try:
            spec.price = resolve_price(spec.price, listed)
        except KeyError:
            name = spec.price.listed or ""
            raise PolicyError(f"{where}:{line_of(node, name)}: {unlisted(name, listed)}.") from None
    return policy


def policy_json_schema() -> dict[str, Any]:
    """The JSON Schema of gate.yaml, as published in `configs/gate.schema.json`."""
    return Policy.model_json_schema()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(policy_json_schema(), indent=2, ensure_ascii=False) + "\n")
