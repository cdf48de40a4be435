"""Benchmarks that gate.yaml names plainly -> the lm-eval tasks that its models can all be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.capability.variants import (
    ACCURACY,
    BENCHMARKS,
    CAPABILITY,
    MEMBERS,
    Choice,
    choose_variant,
)
from ftgate_ext.policy_servers import CHAT_BACKEND

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy


def name_variants(content: dict[str, Any]) -> dict[str, Any]:
    """Put tasks and metrics of lm-eval where a policy names a benchmark.

    `mmlu` becomes `mmlu_generative` where a chat endpoint takes part, in eval sets and rules alike;
    the metric `accuracy` becomes the headline metric of the variant; `ftgate_capability` becomes
    its members.

    Args:
        content: A gate.yaml as it was read, not yet checked: parts of the wrong type are left
            alone, for the schema to complain about.

    Raises:
        ValueError: A variant that a model of the comparison cannot answer.
    """
    eval_sets = content.get("eval_sets")
    if not isinstance(eval_sets, list):
        return content
    named = [_members(e) for e in eval_sets]
    # Members after the first go to the end, so that every other entry keeps its place in the file.
    flat = [members[0] for members in named] + [m for members in named for m in members[1:]]
    chat = _chat_roles(content.get("models"))
    choices = {
        e["task"]: choose_variant(e["task"], chat, _wanted(e))
        for e in flat
        if isinstance(e, dict) and _is_benchmark(e.get("task"))
    }
    if not choices:
        return content
    chosen = [_eval_set(e, choices) for e in flat]
    return {**content, "eval_sets": chosen, "rules": _rules(content.get("rules"), choices)}


def _members(eval_set: Any) -> list[Any]:
    if isinstance(eval_set, dict) and eval_set.get("task") == CAPABILITY:
        return [{**eval_set, "task": member} for member in MEMBERS]
    return [eval_set]


def _wanted(eval_set: dict[str, Any]) -> Any:
    variant = eval_set.get("variant")
    return variant if variant in ("generative", "loglikelihood") else None


def _is_benchmark(task: Any) -> bool:
    return isinstance(task, str) and task in BENCHMARKS


def _chat_roles(models: Any) -> list[str]:
    """The models that give no log-likelihoods."""
    if not isinstance(models, dict):
        return []
    return [
        str(role)
        for role, model in models.items()
        if isinstance(model, dict) and "chat" in str(model.get("backend", CHAT_BACKEND))
    ]


def _eval_set(eval_set: Any, choices: dict[str, Choice]) -> Any:
    choice = choices.get(str(eval_set.get("task"))) if isinstance(eval_set, dict) else None
    if choice is None:
        return eval_set
    fewshot = {} if choice.fewshot is None else {"fewshot": choice.fewshot}
    return {**fewshot, **eval_set, "task": choice.task, "asked_for": choice.name}


def _rules(part: Any, choices: dict[str, Choice]) -> Any:
    """The same part of `rules` with the names of the variants in it."""
    if isinstance(part, list):
        return [_rules(item, choices) for item in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _rules(value, choices) for key, value in part.items()}
    task = part.get("task")
    choice = choices.get(task) if isinstance(task, str) else None
    if choice is None:
        return renamed
    metric = choice.metric if part.get("metric") == ACCURACY else part.get("metric")
    return {**renamed, "task": choice.task} | ({"metric": metric} if "metric" in part else {})


def describe_choices(policy: Policy) -> list[str]:
    """One sentence for each benchmark of which there was a variant to choose: which, and why."""
    chat = [str(r) for r in policy.roles if "chat" in policy.models[r].backend]
    choices = [
        choose_variant(e.asked_for, chat, e.variant) for e in policy.eval_sets if e.asked_for
    ]
    return [choice.why for choice in choices if choice.why]
