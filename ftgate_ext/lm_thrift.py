"""What lm-eval does once a case, or at every run, done once or not at all; its files stay the same.

Every saving replaces one function of lm-eval for the time of a run and is undone afterwards. Where a
later lm-eval no longer has the function, the saving is left out: the run is slower, and right.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import platform
import sys
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEMPLATES_KEPT = 4096
_RELEVANT = ("torch", "numpy", "triton", "nvidia-", "cuda-", "optree", "onnx")
"""Packages that PyTorch's own description of an environment names."""


@contextmanager
def imported_for_good() -> Iterator[None]:
    """Keep Python's collector away while many modules are imported, and from them ever after.

    lm-eval brings half a million objects that live as long as the process. The collector would walk
    over all of them a dozen times during the import, again between requests, and at the end: a third
    of the time that a start takes. Reference counts free everything else as ever.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if running:
            gc.enable()


@contextmanager
def thrifty_lm_eval() -> Iterator[None]:
    """Spare lm-eval's repeated work, and keep its own bars out of our progress."""
    import lm_eval.api.task
    import lm_eval.evaluator
    import lm_eval.utils

    with ExitStack() as savings:
        for owner, name, cheaper in (
            (getattr(lm_eval.utils, "env", None), "from_string", _compile_once),
            (lm_eval.evaluator, "add_env_info", _describe_without_torch),
            (lm_eval.evaluator, "set_torch_seed", _seed_if_imported),
            (lm_eval.evaluator, "get_git_commit_hash", _ask_git_in_a_repository),
            (lm_eval.api.task, "tqdm", _without_bar),
        ):
            savings.enter_context(_replaced(owner, name, cheaper))
        yield


@contextmanager
def _replaced(owner: Any, name: str, cheaper: Callable[[Any], Any]) -> Iterator[None]:
    """Put `cheaper(original)` in the place of an attribute, if there is one."""
    original = getattr(owner, name, None)
    if original is None:
        yield
        return
    own = name in vars(owner)
    setattr(owner, name, cheaper(original))
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:  # it came from the class, and comes from there again
            delattr(owner, name)


def _compile_once(from_string: Callable[..., Any]) -> Callable[..., Any]:
    """Jinja templates compiled once each, not once a case and use: a template does not change."""
    return lru_cache(maxsize=TEMPLATES_KEPT)(from_string)


def _seed_if_imported(set_torch_seed: Callable[[int], None]) -> Callable[[int], None]:
    """PyTorch seeded where a task or a model uses it, not imported to be seeded."""
    return lambda seed: set_torch_seed(seed) if "torch" in sys.modules else None


def _ask_git_in_a_repository(ask: Callable[[], str | None]) -> Callable[[], str | None]:
    """No complaint of git on our screen where there is no repository."""
    here = Path.cwd()
    in_repository = any((folder / ".git").exists() for folder in (here, *here.parents))
    return ask if in_repository else lambda: None


def _without_bar(_tqdm: Any) -> Callable[..., Any]:
    return lambda items, **_options: items


def _describe_without_torch(describe: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """The keys of `add_env_info` without `import torch` and `pip list`, where torch is not in use.

    A model behind an endpoint runs elsewhere: what this machine's torch could do says nothing of it.
    """
    if "torch" in sys.modules or importlib.util.find_spec("torch") is None:
        return describe

    def described(storage: dict[str, Any]) -> None:
        import lm_eval.utils

        absent = ("is_torch_available", "is_transformers_available")
        with ExitStack() as silenced:
            for name in absent:
                silenced.enter_context(_replaced(lm_eval.utils, name, lambda _is: lambda: False))
            describe(storage)
        storage["pretty_env_info"] = environment_text()
        storage["transformers_version"] = _version("transformers") or "N/A"

    return described


def environment_text() -> str:
    """The environment in the words of PyTorch's `collect_env`, from what costs nothing to look up."""
    packages = sorted(
        {
            f"[pip3] {name}=={distribution.version}"
            for distribution in importlib.metadata.distributions()
            if (name := distribution.metadata["Name"]) and name.lower().startswith(_RELEVANT)
        }
    )
    return "\n".join(
        [
            f"PyTorch version: {_version('torch') or 'N/A'} (installed, not used by this process)",
            "",
            f"OS: {platform.platform()}",
            f"Libc version: {'-'.join(platform.libc_ver())}",
            "",
            f"Python version: {sys.version.replace(chr(10), ' ')} ({sys.maxsize.bit_length() + 1}-bit runtime)",
            f"Python platform: {platform.platform()}",
            "",
            f"CPU: {platform.machine()}, {os.cpu_count()} cores",
            "",
            "Versions of relevant libraries:",
            *packages,
        ]
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
