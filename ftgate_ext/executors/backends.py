"""lm-eval's own models (hf, vllm, local-completions ...) as backends of a policy.

They score as usual. What they do not say is missing: latency, tokens, cost, and whether an answer
failed or was cut off.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import sys
import traceback
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.policy_problems import near
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.schema import FtgateError, PolicyError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from lm_eval.api.instance import Instance

    from ftgate_ext.policy_servers import ModelSpec

DATA_PARALLEL = frozenset({"hf", "hf-auto", "huggingface"})
"""Backends that share their requests out among the processes of `accelerate launch`."""

PACKAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(DATA_PARALLEL, ("torch", "transformers", "accelerate")),
    "vllm": ("vllm",),
}
"""Backend -> modules that it needs, and that an extra of the same kind installs."""

EXTRAS = {**dict.fromkeys(DATA_PARALLEL, "hf"), "vllm": "vllm"}
MODEL_IN = {
    **dict.fromkeys([*DATA_PARALLEL, "vllm", "sglang", "hf-multimodal", "vllm-vlm"], "pretrained"),
    **dict.fromkeys(
        [
            "local-completions", "local-chat-completions", "openai-completions",
            "openai-chat-completions", "anthropic-chat-completions",
        ],
        "model",
    ),
}  # fmt: skip
"""Backend -> its argument that `model` of the policy stands for, where `model_args` lacks it."""

ERROR_CHARS = 300
NEW_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens")


def arguments_of(spec: ModelSpec) -> dict[str, Any]:
    """The arguments that the backend is made with."""
    name = MODEL_IN.get(spec.backend)
    given: dict[str, Any] = dict(spec.model_args)
    if name and name not in given and not (name == "model" and "pretrained" in given):
        given[name] = spec.model
    return given


def asks_a_server(spec: ModelSpec) -> bool:
    """Whether somebody else computes: then more processes only press on the same server."""
    return (
        spec.backend == CHAT_BACKEND
        or "base_url" in spec.model_args
        or spec.backend.endswith("completions")
    )


def check_backend(spec: ModelSpec) -> None:
    """Find a wrong name or a missing package before anything is loaded.

    Raises:
        PolicyError: lm-eval has no such model.
        RunError: A package is missing.
    """
    if spec.backend == CHAT_BACKEND:
        return
    import lm_eval.models  # noqa: F401 - it registers lm-eval's own models
    from lm_eval.api.registry import model_registry

    known = sorted({CHAT_BACKEND, *map(str, model_registry.keys())})
    if spec.backend not in known:
        raise PolicyError(
            f"model {spec.model!r}: lm-eval has no backend {spec.backend!r}{near(spec.backend, known)}. Mend `backend`."
        )
    missing = missing_packages(spec.backend)
    if missing:
        raise RunError(
            f"model {spec.model!r}: backend {spec.backend} needs {', '.join(missing)}, which is not installed; pip install 'ftgate-ext[{EXTRAS[spec.backend]}]'."
        )


def missing_packages(backend: str) -> list[str]:
    """Modules that a backend needs and that are not there."""
    return [m for m in PACKAGES.get(backend, ()) if importlib.util.find_spec(m) is None]


def caveat_of(spec: ModelSpec) -> str | None:
    """What a reader must know of answers that came through lm-eval's own client, in one sentence."""
    if spec.backend == CHAT_BACKEND or not asks_a_server(spec):
        return None
    return f"lm-eval's {spec.backend} reports no failures: an answer that the server lost counts as an empty, wrong one; the backend {CHAT_BACKEND} tells them apart"


class OneLine(AbstractContextManager[None]):
    """Turn whatever lm-eval and the packages below it raise into a RunError of one line."""

    def __init__(self, where: str) -> None:
        """Say who was being loaded or asked."""
        self.where = where

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave errors for users and interrupts as they are.

        Raises:
            RunError: In place of any other error.
        """
        if isinstance(error, Exception) and not isinstance(error, FtgateError):
            frames = traceback.extract_tb(trace)
            at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
            said = _without_keys(" ".join(str(error).split()))[:ERROR_CHARS]
            raise RunError(
                f"{self.where}: lm-eval failed ({type(error).__name__}{at}: {said}); mend `model_args` or the task, then run the same command again."
            ) from None


def _without_keys(text: str) -> str:
    """The text without values of environment variables that look like keys."""
    for name, value in os.environ.items():
        if name.endswith(("KEY", "TOKEN", "SECRET", "PASSWORD")) and len(value) >= 8:
            text = text.replace(value, "***")
    return text


def load_backend(spec: ModelSpec, max_tokens: int | None) -> Any:
    """Make lm-eval's model: weights are loaded here.

    Args:
        spec: Of the policy.
        max_tokens: Cap on the new tokens of every request, whatever the task says.

    Raises:
        RunError: It cannot be made, in one line; or a chat template is wanted and there is none.
    """
    check_backend(spec)
    from lm_eval.api.registry import get_model

    where = f"model {spec.model!r}, backend {spec.backend}"
    with OneLine(where), bars_on_terminals():
        make = get_model(spec.backend)
        lm = make.create_from_arg_obj(_device(spec) | arguments_of(spec))
        if (
            spec.chat_template
            and getattr(getattr(lm, "tokenizer", None), "chat_template", "") is None
        ):
            raise RunError(
                f"{where}: its tokenizer has no chat template; for a base model write `chat_template: false`."
            )
    if max_tokens is not None:
        _cap_new_tokens(lm, max_tokens)
    return lm


def _sends_text(spec: ModelSpec, lm: Any) -> bool:
    """Whether lm-eval would send a chat as the text of its JSON."""
    plain = spec.backend.endswith("completions") and "chat" not in spec.backend
    return plain and not getattr(lm, "tokenized_requests", True)


def _device(spec: ModelSpec) -> dict[str, str]:
    """The CPU for a model of transformers where there is no GPU: lm-eval's own default is a GPU."""
    torch = sys.modules.get("torch")
    alone = spec.backend in DATA_PARALLEL and torch is not None and not torch.cuda.is_available()
    return {"device": "cpu"} if alone else {}


def _cap_new_tokens(lm: Any, most: int) -> None:
    """Let no request ask for more than `most` new tokens."""
    generate = lm.generate_until
    default = getattr(lm, "max_gen_toks", most)

    @functools.wraps(generate)
    def capped(requests: list[Instance], *args: Any, **kwargs: Any) -> Any:
        for request in requests:
            context, options = request.args
            asked = next((options[n] for n in NEW_TOKENS if options.get(n)), default)
            kept = {name: value for name, value in options.items() if name not in NEW_TOKENS}
            request.arguments = (context, {**kept, "max_gen_toks": min(int(asked), most)})
        return generate(requests, *args, **kwargs)

    lm.generate_until = capped


@contextmanager
def bars_on_terminals() -> Iterator[None]:
    """Progress bars of lm-eval and transformers on a terminal only: in a log they break our lines."""
    if sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm

    bars: Any = tqdm
    original = bars.__init__

    def hidden(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, "disable": True})

    bars.__init__ = hidden
    try:
        yield
    finally:
        bars.__init__ = original


def release() -> None:
    """Give the memory of a model that nobody holds any more back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.cuda.empty_cache()
