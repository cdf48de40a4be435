"""Benchmarks by their plain names -> the lm-eval tasks that are comparable over all models asked.

A chat endpoint gives no log-likelihoods, so one of them in a comparison means that every model is
asked the generative variant. Knows names only: no data, no lm-eval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VariantName = Literal["generative", "loglikelihood"]

CAPABILITY = "ftgate_capability"
"""The group that stands for `MEMBERS`."""
MEMBERS = ("mmlu", "gsm8k", "humaneval", "mtbench")
ACCURACY = "accuracy"
"""What rules may call the headline metric of a benchmark, whichever variant is asked."""


@dataclass(frozen=True)
class Variant:
    """One way to ask a benchmark."""

    task: str
    metric: str
    """Its headline metric, as lm-eval writes it."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, in the ways in which it can be asked."""

    generative: Variant | None
    loglikelihood: Variant | None = None
    fewshot: int | None = None
    """Worked examples before the question; None leaves it to the task."""


BENCHMARKS: dict[str, Benchmark] = {
    "mmlu": Benchmark(
        Variant("mmlu_generative", "exact_match,get_response"), Variant("mmlu", "acc"), 5
    ),
    # The answer is taken as the last number: chat models hardly ever write "#### 42".
    "gsm8k": Benchmark(Variant("gsm8k", "exact_match,flexible-extract")),
    "humaneval": Benchmark(Variant("humaneval_sandboxed", "passed")),
    "mtbench": Benchmark(Variant("mtbench", "mtbench_score")),
    "ifeval": Benchmark(Variant("ifeval", "prompt_level_strict_acc")),
    "hellaswag": Benchmark(
        Variant("hellaswag_generative", "exact_match,get_letter"), Variant("hellaswag", "acc_norm")
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What is asked for a benchmark, and why."""

    name: str
    """As gate.yaml calls it."""
    task: str
    metric: str
    fewshot: int | None
    why: str
    """One sentence for the user; empty where there was nothing to choose."""


def choose_variant(name: str, chat_roles: list[str], wanted: VariantName | None = None) -> Choice:
    """The variant of a benchmark for one comparison.

    Args:
        name: A key of `BENCHMARKS`.
        chat_roles: The models that are chat endpoints.
        wanted: What gate.yaml insists on.

    Raises:
        ValueError: It insists on log-likelihoods that a model cannot give, or on a variant that
            the benchmark does not have.
    """
    benchmark = BENCHMARKS[name]
    if wanted == "loglikelihood" and benchmark.loglikelihood and chat_roles:
        raise ValueError(
            f"{name}: variant loglikelihood, but {chat_roles[0]} is a chat endpoint, which gives no log-likelihoods; use generative for every model"
        )
    variants = {"generative": benchmark.generative, "loglikelihood": benchmark.loglikelihood}
    both = all(variants.values())
    kind = wanted or ("generative" if chat_roles or not both else "loglikelihood")
    variant = variants[kind] if wanted else variants[kind] or benchmark.loglikelihood
    if variant is None:
        other = "loglikelihood" if kind == "generative" else "generative"
        raise ValueError(f"{name}: has no {kind} variant; use {other}")
    why = ""
    if both and wanted:
        why = f"{name}: asked as {variant.task}, as `variant` says."
    elif both and chat_roles:
        why = f"{name}: asked as {variant.task} of every model, because {chat_roles[0]} is a chat endpoint without log-likelihoods."
    elif both:
        why = f"{name}: asked as {variant.task}, by log-likelihood, because every model is loaded here."
    return Choice(name, variant.task, variant.metric, benchmark.fewshot, why)


def benchmark_of(task: str) -> str | None:
    """The benchmark that a task of lm-eval is a variant of."""
    for name, benchmark in BENCHMARKS.items():
        if any(v and v.task == task for v in (benchmark.generative, benchmark.loglikelihood)):
            return name
    return None
