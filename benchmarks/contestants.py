"""Other ways to ask the same questions, each as a command: what `ftgate run` is measured against.

    python benchmarks/contestants.py aiohttp|openai|lm-eval URL MODEL CONCURRENCY FOLDER

FOLDER is a folder of `benchmarks/client.py` with prompts.jsonl and the task `speed`. All of them ask
every prompt once and write the answers down; only lm-eval scores them too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Ask = Callable[[str], Awaitable[str]]
TIMEOUT_S = 60
MAX_TOKENS = int(os.environ.get("CONTESTANT_MAX_TOKENS", "256"))


async def ask_everything(ask: Ask, concurrency: int, folder: Path) -> None:
    """All prompts with so many workers; the answers go to answers.jsonl."""
    lines = (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts: list[str] = [json.loads(line) for line in lines]
    answers = [""] * len(prompts)
    waiting = iter(enumerate(prompts))

    async def work() -> None:
        for index, prompt in waiting:
            answers[index] = await ask(prompt)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    written = "".join(json.dumps(answer) + "\n" for answer in answers)
    (folder / "answers.jsonl").write_text(written, encoding="utf-8")


def question(model: str, prompt: str) -> dict[str, Any]:
    """What every contestant sends."""
    messages = [{"role": "user", "content": prompt}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "seed": 1234,
    }


async def with_aiohttp(url: str, model: str, concurrency: int, folder: Path) -> None:
    """No retries, no journal, no scores: the floor for a client on this library."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=concurrency)
    tokens = 0
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(prompt: str) -> str:
            nonlocal tokens
            sent = question(model, prompt)
            async with session.post(f"{url}/chat/completions", json=sent) as reply:
                body = await reply.json()
            tokens += body["usage"]["completion_tokens"]
            return str(body["choices"][0]["message"]["content"])

        started = time.perf_counter()
        await ask_everything(ask, concurrency, folder)
        usage = {"tokens": tokens, "seconds": time.perf_counter() - started}
    (folder / "usage.json").write_text(json.dumps(usage), encoding="utf-8")


async def with_openai(url: str, model: str, concurrency: int, folder: Path) -> None:
    """The vendor's own client, as its documentation uses it."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT_S) as client:

        async def ask(prompt: str) -> str:
            reply = await client.chat.completions.create(**question(model, prompt))
            return reply.choices[0].message.content or ""

        await ask_everything(ask, concurrency, folder)


def with_lm_eval(url: str, model: str, concurrency: int, folder: Path) -> None:
    """lm-eval's own chat model through its Python interface, on the one task and nothing else."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(folder / "lm_eval"))
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    results = simple_evaluate(
        model="local-chat-completions", tasks=["speed"], task_manager=manager,
        model_args={
            "model": model, "base_url": f"{url}/chat/completions", "num_concurrent": concurrency,
            "tokenized_requests": False, "tokenizer_backend": None,
        },
        apply_chat_template=True, bootstrap_iters=0, evaluation_tracker=tracker,
    )  # fmt: skip
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)


def main() -> None:
    """Ask in the named way."""
    name, url, model, concurrency, folder = sys.argv[1:]
    asked = (url, model, int(concurrency), Path(folder))
    if name == "lm-eval":
        with_lm_eval(*asked)
    else:
        asyncio.run({"aiohttp": with_aiohttp, "openai": with_openai}[name](*asked))


if __name__ == "__main__":
    main()
