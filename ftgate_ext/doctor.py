"""`ftgate doctor` and `ftgate check`: say what is there, before anything is spent."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext import __version__
from ftgate_ext.assets import asset_dir
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.policy_servers import EMBEDDED, ServerSpec
from ftgate_ext.schema import FtgateError, RunError
from ftgate_ext.scoring.sandbox import describe_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRAS = {
    "demo": ("openvino_genai", "gguf", "safetensors"),
    "hf": ("torch", "transformers"),
    "vllm": ("vllm",),
}


def diagnose() -> Iterator[str]:
    """Lines on versions, folders, extras and the way in which lm-eval finds our tasks."""
    yield f"ftgate {__version__}, lm-eval {importlib.metadata.version('lm_eval')}, Python {platform.python_version()}"
    yield f"tasks:   {asset_dir('tasks')}"
    yield f"golden:  {asset_dir('golden')}"
    yield f"autoload: {autoload_state()}"
    yield f"sandbox: {describe_sandbox()}"
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        yield f"extra {extra}: " + (
            f"missing {', '.join(missing)}; pip install 'ftgate-ext[{extra}]'"
            if missing
            else "installed"
        )


def autoload_state() -> str:
    """Which way a plain `lm_eval --tasks codereview_golden` finds our tasks, in one sentence."""
    manager = importlib.util.find_spec("lm_eval.tasks.manager")
    source = "" if manager is None or manager.origin is None else _read(manager.origin)
    if "TASKS_ENTRY_POINT_GROUP" in source:
        return "lm-eval discovers our tasks itself, by entry points; the start-up hook does nothing"
    if os.environ.get("FTGATE_NO_AUTOLOAD"):
        return 'off (FTGATE_NO_AUTOLOAD is set); use lm_eval --include_path "$(ftgate tasks-path)"'
    if "ftgate_ext.autoload" in sys.modules:
        return "on: the start-up hook ftgate_ext_autoload.pth makes lm_eval find tasks and model"
    return 'not installed (no ftgate_ext_autoload.pth in site-packages); pip install ftgate-ext again, or use lm_eval --include_path "$(ftgate tasks-path)"'


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def check_policy(policy_file: Path) -> Iterator[str]:
    """Try policy, data, keys and servers; yield a line for each that is well.

    Raises:
        FtgateError: At the end, with a line for each that is not; nothing was written or spent.
    """
    policy = load_policy(policy_file)
    yield f"policy {policy.name!r}: {len(policy.rules)} rules, hash {policy.policy_hash[:12]}"
    bad: list[str] = []
    for attempt in (_check_eval_sets(policy, policy_file), _check_models(policy)):
        for line, problem in attempt:
            if problem:
                bad.append(line)
            else:
                yield line
    if bad:
        raise RunError("\n".join(bad))


def _check_eval_sets(policy: Policy, policy_file: Path) -> Iterator[tuple[str, bool]]:
    from ftgate_ext.lm_tasks import describe_eval_sets

    try:
        for use in describe_eval_sets(policy, policy_file)[1]:
            asked = use.limit or use.n_rows
            yield (
                f"eval set {use.task}: {asked} of {use.n_rows} cases, sha256 {use.sha256[:12]}",
                False,
            )
    except FtgateError as error:
        yield str(error), True


def _check_models(policy: Policy) -> Iterator[tuple[str, bool]]:
    from ftgate_ext.inference.client import Endpoint, check_endpoint
    from ftgate_ext.inference.endpoints import embedded_models

    for name in embedded_models(policy):
        yield f"model {name}: served by the embedded engine during the run", False
    specs: dict[str, ServerSpec] = {str(role): spec for role, spec in policy.models.items()}
    if policy.judge:
        specs["judge"] = policy.judge
    for role, spec in specs.items():
        if spec.endpoint == EMBEDDED:
            continue
        try:
            for url in spec.endpoints:
                check_endpoint(Endpoint(url, spec.model, spec.api_key_env))
                yield f"{role} {spec.model}: served by {url}", False
        except RunError as error:
            optional = getattr(spec, "optional", False)
            yield f"{role}: {error}" + (" (optional: left out)" if optional else ""), not optional
