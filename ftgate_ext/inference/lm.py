"""The lm-eval model `ftgate-chat`: lm-eval's requests in, answers and `responses.jsonl` out."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lm_eval.api.model import LM
from lm_eval.models.api_models import JsonChatStr, eval_logger
from lm_eval.utils import sanitize_model_name
from tqdm import tqdm

from ftgate_ext import __version__
from ftgate_ext.evalset import loaded_sets
from ftgate_ext.inference.client import Endpoint, OnResponse, Request, ask_all, check_endpoint
from ftgate_ext.inference.conversation import (
    Conversation,
    hold,
    later_turns,
    with_own_temperature,
)
from ftgate_ext.inference.journal import Journal
from ftgate_ext.inference.payload import MAX_GEN_TOKS, build_payload, chat_messages, stops_of
from ftgate_ext.lm_find import way_out
from ftgate_ext.schema import Price, RunError

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_SECRET_ARGS = {"api_key", "auth_token", "header", "token"}


class FtgateChat(LM):  # type: ignore[misc]
    """Any OpenAI-compatible chat endpoint, every request accounted for.

    A request that fails for good gives an `Answer` of status `failed` and the run goes on. Keys
    come from the environment alone: `api_key_env` names the variable.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        num_concurrent: int = 16,
        timeout: float = 300,
        max_retries: int = 5,
        max_gen_toks: int = MAX_GEN_TOKS,
        max_tokens: int | None = None,
        seed: int = 1234,
        responses: str | None = None,
        reuse: bool = False,
        price: Price | None = None,
        on_response: OnResponse | None = None,
        endpoint: Endpoint | None = None,
        **unknown: Any,
    ) -> None:
        """Make the model; the arguments are lm-eval's `--model_args`.

        Args:
            base_url: The endpoint, ending in /v1.
            model: The name to ask for.
            api_key_env: Environment variable with the key.
            num_concurrent: Requests in flight.
            timeout: Seconds one attempt may take.
            max_retries: Attempts a request.
            max_gen_toks: New tokens where the task does not say.
            max_tokens: Cap on the new tokens of every request, whatever the task says.
            seed: Sent with every request.
            responses: Where the journal goes; beside lm-eval's own files when left out.
            reuse: Give back good answers that the journal already holds.
            price: input_usd_per_mtok and output_usd_per_mtok, or usd_per_hour.
            on_response: Called after every response.
            endpoint: Of a policy, with all its limits, in place of what is said here about it.
            **unknown: lm-eval's batch_size, max_batch_size and device, which mean nothing here.

        Raises:
            RunError: An argument is wrong, the model is not served, or the journal is another's.
        """
        super().__init__()
        self._refuse_unknown(unknown)
        _refuse_secrets_in(base_url)
        _expect_positive(num_concurrent=num_concurrent, timeout=timeout, max_retries=max_retries)
        url = base_url.rstrip("/").removesuffix("/chat/completions")
        self.endpoint = endpoint or Endpoint(
            base_url=url, model=str(model), api_key_env=api_key_env, concurrency=int(num_concurrent),
            timeout_s=float(timeout), max_attempts=int(max_retries), price=price or Price(),
        )  # fmt: skip
        self.max_gen_toks, self.seed, self.on_response = int(max_gen_toks), int(seed), on_response
        self.max_tokens = None if max_tokens is None else int(max_tokens)
        self.served = check_endpoint(self.endpoint)
        self.journal = _open_journal(responses, self.endpoint.model, reuse=reuse)
        self._asked: Counter[str] = Counter()

    @staticmethod
    def _refuse_unknown(unknown: dict[str, Any]) -> None:
        for name in unknown:
            if name in _SECRET_ARGS:
                raise RunError(
                    f"--model_args: {name!r} would be written into the results; put the key into an environment variable and name it with api_key_env."
                )
            if name not in {"batch_size", "max_batch_size", "device"}:
                raise RunError(
                    f"--model_args: unknown argument {name!r} of ftgate-chat; expected base_url, model, api_key_env, num_concurrent, timeout, max_retries, max_gen_toks, max_tokens, seed, responses or reuse."
                )

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: ARG002 - the server renders the template
    ) -> JsonChatStr:
        """Keep the messages as they are; the server has the template."""
        return JsonChatStr(json.dumps(chat_history, ensure_ascii=False))

    @property
    def tokenizer_name(self) -> str:
        """lm-eval names its prompt cache by this; there is no tokenizer on our side."""
        return ""

    def generate_until(
        self,
        requests: list[Instance],
        disable_tqdm: bool = False,  # noqa: ARG002 - lm-eval's signature
    ) -> list[str]:
        """Ask the endpoint; the answers are `Answer` strings in the order of the requests."""
        asked = [self._conversation(instance) for instance in requests]
        own_bar = tqdm(
            total=sum(1 + len(conversation.later) for conversation in asked),
            desc=f"ftgate-chat {self.endpoint.model}",
            disable=self.on_response is not None,
        )
        show = self.on_response or (lambda _response, _known: _tick(own_bar))
        with own_bar:
            return list(hold(asked, lambda turn: ask_all(self.endpoint, turn, self.journal, show)))

    def _conversation(self, instance: Instance) -> Conversation:
        _, gen_kwargs = instance.args
        settings = with_own_temperature(instance.doc, gen_kwargs)
        return Conversation(
            self._request(instance, settings), later_turns(instance.doc, gen_kwargs)
        )

    def _request(self, instance: Instance, gen_kwargs: dict[str, Any]) -> Request:
        context = instance.args[0]
        prompt = context.prompt if isinstance(context, JsonChatStr) else context
        messages = chat_messages(prompt, is_chat=isinstance(context, JsonChatStr))
        prompt_hash = hashlib.sha256(prompt.encode()).hexdigest()
        occurrence = self._asked[f"{instance.task_name}:{prompt_hash}"]
        self._asked[f"{instance.task_name}:{prompt_hash}"] += 1
        stops = stops_of(gen_kwargs)
        case_id = (
            str(instance.doc.get("id", instance.doc_id))
            if isinstance(instance.doc, dict)
            else str(instance.doc_id)
        )
        return Request(
            case_id=case_id, task=instance.task_name or "", prompt_hash=prompt_hash,
            payload=self._payload(messages, gen_kwargs, occurrence), occurrence=occurrence, stop=stops,
        )  # fmt: skip

    def _payload(
        self,
        messages: list[dict[str, str]],
        gen_kwargs: dict[str, Any],
        occurrence: int,
    ) -> dict[str, Any]:
        return build_payload(
            messages, gen_kwargs, occurrence,
            seed=self.seed, max_gen_toks=self.max_gen_toks, max_tokens=self.max_tokens,
        )  # fmt: skip

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refuse: a chat endpoint gives no log-likelihoods of a prompt.

        Raises:
            RunError: Always, naming the way out.
        """
        task = requests[0].task_name if requests else "the task"
        raise RunError(
            f"{task}: scored by log-likelihoods, which a chat endpoint does not give; {way_out(str(task))}"
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Refuse, as `loglikelihood` does."""
        self.loglikelihood(requests)
        return []

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes into the `config` of its results file: identity and data, no secrets."""
        return {
            "ftgate_version": __version__,
            "base_url": self.endpoint.base_url,
            "model_asked": self.endpoint.model,
            "served_models": self.served.served_models,
            "num_concurrent": self.endpoint.concurrency,
            "responses_file": self.journal.path.name if self.journal else None,
            "eval_sets": {
                source: {"file": used.file.name, "sha256": used.sha256, "n_rows": used.n_rows}
                for source, used in loaded_sets.items()
            },
        }

    def close(self) -> None:
        """Close the journal."""
        if self.journal:
            self.journal.close()


def _refuse_secrets_in(base_url: str) -> None:
    """A base URL is written into the results: no user, no password, no ?key=... in it."""
    parts = urlsplit(base_url)
    if parts.username or parts.password or parts.query:
        raise RunError(
            "--model_args: base_url holds credentials or a query, which would be written into the results; put the key into an environment variable and name it with api_key_env."
        )


def _expect_positive(**numbers: Any) -> None:
    for name, number in numbers.items():
        if not isinstance(number, (int, float)) or number <= 0:
            raise RunError(f"--model_args: {name} is {number!r}; expected a number above 0.")


def _tick(bar: Any) -> None:
    bar.update()


def _open_journal(responses: str | None, model: str, *, reuse: bool) -> Journal | None:
    """Where it is named, or else beside lm-eval's own files; None where there are none."""
    path = Path(responses) if responses else _beside_results(model)
    if path is None:
        eval_logger.warning(
            "ftgate-chat: no --output_path on the command line, so latency, tokens and failures "
            "are written nowhere; name a file with responses=PATH in --model_args."
        )
        return None
    return Journal(path, reuse=reuse)


def _beside_results(model: str) -> Path | None:
    """Where a bare `lm_eval --output_path DIR` puts its results, which it does not tell its models."""
    output = None
    for flag, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, inline = flag.partition("=")
        if name in ("--output_path", "-o"):
            output = inline or value
    if not output:
        return None
    folder = Path(output)
    folder = folder.parent if folder.suffix == ".json" else folder / sanitize_model_name(model)
    now = datetime.now()  # noqa: DTZ005 - local time, as lm-eval names its own files
    return folder / f"responses_{now.isoformat().replace(':', '-')}.jsonl"
