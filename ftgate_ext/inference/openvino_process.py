"""A process that runs one GGUF model with continuous batching and talks in lines of JSON.

In (stdin): one job a line, or ``{"cancel": id}``; the end of stdin ends the process. Out (stdout):
``{"ready": fingerprint}``, then ``{"id", "text", ...}`` or ``{"id", "error", "status"}`` a job, with
``{"id", "piece"}`` lines before it where the job streams, or ``{"fatal": reason}``. Knows nothing of
HTTP.

It is a process of its own because a step of the pipeline holds Python's global lock: as a thread it
would stop everything else in the program for as long as a step takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ftgate_ext.inference.weights import read_number

MAX_BATCH = 16
CONTEXT_LIMIT = 8192
KV_BLOCKS = 512  # of 32 tokens: two prompts of the longest kind, or 16 of 1,000 tokens
# Larger steps are no faster here, and a new job waits for the step that is running.
TOKENS_PER_STEP = 512
TOKENS_PER_PIECE = 4  # of a stream, after the first token: decoding costs time
MIN_TEMPERATURE = 0.01  # below it the logits overflow; the likeliest token is what it means

EXACT: dict[str, Any] = {
    # With OpenVINO's defaults (8-bit activations, 8-bit cache, bfloat16 where the processor has it)
    # an answer depends on what else is in the batch. These three cost half the speed and end that.
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f16",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}


@dataclass
class _Live:
    """A job inside the pipeline."""

    handle: Any
    stop: list[str]
    prompt_tokens: int
    stream: bool
    ids: list[int] = field(default_factory=list)
    """Tokens that were read so far, of a stream."""
    pieces: str = ""
    """What was sent of the text."""
    decoded: int = 0
    """How many tokens stood in the text that was sent last."""


class _Refused(Exception):  # noqa: N818 - an answer to the client
    """A job that cannot be run: the reason, and the HTTP status that fits."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class OpenvinoModel:
    """A loaded model: jobs go in, finished answers come out."""

    def __init__(self, path: Path, *, exact: bool) -> None:
        import openvino_genai

        self._genai = openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = KV_BLOCKS
        scheduler.max_num_seqs = MAX_BATCH
        scheduler.max_num_batched_tokens = TOKENS_PER_STEP
        scheduler.enable_prefix_caching = True
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(path), scheduler, "CPU", EXACT if exact else {}
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._context = min(read_number(path, b".context_length") or CONTEXT_LIMIT, CONTEXT_LIMIT)
        self._proven: set[str] = set()
        self.live: dict[int, _Live] = {}
        mode = "exact" if exact else "fast"
        self.fingerprint = f"fp_{_file_hash(path)}_{mode}_{openvino_genai.__version__}"

    def can_take(self, job: dict[str, Any]) -> bool:
        """Whether the job may start now; a schema not seen before waits for an empty batch."""
        schema = job["json_schema"]
        known = schema is None or schema in self._proven
        return len(self.live) < MAX_BATCH if known else not self.live

    def start(self, job: dict[str, Any]) -> None:
        """Put a job into the batch.

        Raises:
            _Refused: The prompt is too long, or the schema or the roles cannot be followed.
        """
        self._prove(job["json_schema"])
        try:
            prompt = self._tokenizer.apply_chat_template(job["messages"], True)
        except RuntimeError as error:
            raise _Refused(f"messages: the chat template fails ({_reason(error)}).") from error
        ids = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
        length = int(ids.shape[1])
        if length >= self._context:  # the tokenizer cuts what is longer
            raise _Refused(
                f"messages: the prompt has {length} tokens or more, the model's context {self._context}; shorten it."
            )
        limit = min(job["max_tokens"], self._context - length)
        config = self._config(job["json_schema"], max_new_tokens=limit)
        if job["stop"]:
            config.stop_strings, config.include_stop_str_in_output = set(job["stop"]), True
        if job["temperature"] >= MIN_TEMPERATURE:
            seed = job["seed"]
            config.do_sample, config.temperature = True, job["temperature"]
            config.top_p = job["top_p"]
            config.rng_seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
        handle = self._pipeline.add_request(job["id"], ids, config)
        self.live[job["id"]] = _Live(handle, job["stop"], length, job["stream"])

    def cancel(self, job_id: int) -> None:
        """Take a job out of the batch."""
        live = self.live.pop(job_id, None)
        if live is not None:
            live.handle.cancel()

    def step(self) -> list[dict[str, Any]]:
        """One more token for every job in the batch; returns pieces, and answers that are finished."""
        self._pipeline.step()
        running = self._genai.GenerationStatus.RUNNING
        ended = [i for i, live in self.live.items() if live.handle.get_status() != running]
        answers = [self._answer(i, self.live.pop(i)) for i in ended]
        pieces = [self._piece(i, live) for i, live in self.live.items() if live.stream]
        return [*(piece for piece in pieces if piece is not None), *answers]

    def _piece(self, job_id: int, live: _Live) -> dict[str, Any] | None:
        """What has been added to a stream, as far as nothing that follows can change it."""
        while live.handle.can_read():
            for output in live.handle.read().values():
                live.ids += output.generated_ids
        if not live.ids or (live.decoded and len(live.ids) < live.decoded + TOKENS_PER_PIECE):
            return None
        live.decoded = len(live.ids)
        held_back = max([len(stop) - 1 for stop in live.stop], default=0)
        text = self._tokenizer.decode(live.ids)
        text = text[: len(text) - held_back].rstrip("\ufffd")  # half a character, so far
        if not text.startswith(live.pieces) or text == live.pieces:
            return None
        piece, live.pieces = text[len(live.pieces) :], text
        return {"id": job_id, "piece": piece}

    def _answer(self, job_id: int, live: _Live) -> dict[str, Any]:
        if live.handle.get_status() != self._genai.GenerationStatus.FINISHED:
            return {"id": job_id, "status": 503, "error": "The engine ran out of cache memory."}
        output = live.handle.read_all()[0]
        ids = [*live.ids, *output.generated_ids]
        whole = self._tokenizer.decode(ids)
        text = _cut(whole, live.stop)
        if not text.startswith(live.pieces):
            return {"id": job_id, "status": 500, "error": "The text changed after it was streamed."}
        by_length = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        return {
            "id": job_id,
            "text": text,
            "finish_reason": "length" if by_length and text == whole else "stop",
            "prompt_tokens": live.prompt_tokens,
            "completion_tokens": len(ids),
        }

    def _prove(self, schema: str | None) -> None:
        """Try a schema alone first: one that fails inside a batch would take the batch with it."""
        if schema is None or schema in self._proven:
            return
        while self._pipeline.has_non_finished_requests():  # what was cancelled
            self._pipeline.step()
        try:
            self._pipeline.generate(["x"], [self._config(schema, max_new_tokens=1)])
        except RuntimeError as error:
            raise _Refused(
                f"response_format: the engine cannot follow this schema ({_reason(error)})."
            ) from error
        self._proven.add(schema)

    def _config(self, schema: str | None, *, max_new_tokens: int) -> Any:
        config = self._genai.GenerationConfig(
            max_new_tokens=max_new_tokens, apply_chat_template=False
        )
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        if schema is not None:
            structure = self._genai.StructuredOutputConfig(json_schema=schema)
            config.structured_output_config = structure
        return config


def run_jobs(
    model: OpenvinoModel, jobs: queue.SimpleQueue[dict[str, Any] | None], out: TextIO
) -> None:
    """Answer jobs until None comes."""
    waiting: deque[dict[str, Any]] = deque()
    while True:
        idle = not model.live and not waiting
        while idle or not jobs.empty():
            job = jobs.get()
            if job is None:
                return
            if "cancel" in job:
                model.cancel(job["cancel"])
                waiting = deque(w for w in waiting if w["id"] != job["cancel"])
            else:
                waiting.append(job)
            idle = not model.live and not waiting
        while waiting and model.can_take(waiting[0]):
            job = waiting.popleft()
            try:
                model.start(job)
            except _Refused as refused:
                _say(out, {"id": job["id"], "status": refused.status, "error": str(refused)})
        if model.live:
            for answer in model.step():
                _say(out, answer)


def _read_lines(jobs: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    jobs.put(None)


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _reason(error: Exception) -> str:
    """What a native error says, without the source paths that it begins with."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rpartition(": ")[2][:200]


def _cut(text: str, stops: list[str]) -> str:
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def main() -> None:
    """Load the model that the command line names and answer jobs until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes stdin
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the lines of JSON
    jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(jobs,), daemon=True).start()
    try:
        model = OpenvinoModel(Path(sys.argv[1]), exact=sys.argv[2] == "exact")
        _say(out, {"ready": model.fingerprint})
        run_jobs(model, jobs, out)
    except (RuntimeError, OSError, ImportError, TypeError, ValueError) as error:
        _say(out, {"fatal": f"{type(error).__name__}: {_reason(error)}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
