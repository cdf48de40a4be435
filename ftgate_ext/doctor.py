"""`ftgate doctor` and `ftgate check`: say what is there, before anything is spent."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext import __version__
from ftgate_ext.assets import asset_dir
from ftgate_ext.capability.words import describe_uses
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.policy_benchmarks import describe_choices
from ftgate_ext.policy_servers import EMBEDDED, ModelSpec, ServerSpec
from ftgate_ext.schema import FtgateError, RunError
from ftgate_ext.scoring.sandbox import describe_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRAS = {
    "demo": ("openvino_genai", "gguf", "safetensors"),
    "hf": ("torch", "transformers", "accelerate"),
    "vllm": ("vllm",),
    "ray": ("ray",),
    "otel": ("opentelemetry", "requests"),
}
SERVES = {
    "demo": "the embedded engine",
    "hf": "backend hf, and `accelerate launch`",
    "vllm": "backend vllm",
    "ray": "--executor ray",
    "otel": "sending traces",
}
"""Extra -> what can be used once it is installed."""


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
            else f"installed ({SERVES[extra]})"
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
    yield from _old_prices(policy)
    bad: list[str] = []
    for attempt in (
        _check_eval_sets(policy, policy_file), _check_labels(policy, policy_file), _check_models(policy),
        _check_judge(policy, policy_file),
    ):  # fmt: skip
        for line, problem in attempt:
            if problem:
                bad.append(line)
            else:
                yield line
    if bad:
        raise RunError("\n".join(bad))


def _old_prices(policy: Policy) -> Iterator[str]:
    today = datetime.now(timezone.utc).date()
    specs: dict[str, ServerSpec] = {str(role): spec for role, spec in policy.models.items()}
    if policy.judge:
        specs["judge"] = policy.judge
    for role, spec in specs.items():
        if warning := spec.price.age_warning(today):
            yield f"warning: {role}: {warning}"


def _check_eval_sets(policy: Policy, policy_file: Path) -> Iterator[tuple[str, bool]]:
    from ftgate_ext.lm_tasks import describe_eval_sets

    try:
        for line in describe_choices(policy):
            yield line, False
        for line in describe_uses(describe_eval_sets(policy, policy_file)[1]):
            yield line, False
    except FtgateError as error:
        yield str(error), True


def _check_labels(policy: Policy, policy_file: Path) -> Iterator[tuple[str, bool]]:
    from ftgate_ext.evalset.label_pairs import read_pair_labels

    if policy.judge is None or policy.judge.labels is None:
        return
    path = policy_file.parent / policy.judge.labels
    try:
        yield f"judge labels {path.name}: {len(read_pair_labels([path]))}", False
    except FtgateError as error:
        yield str(error), True


def _check_models(policy: Policy) -> Iterator[tuple[str, bool]]:
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
            lines = _check_backend(spec) if spec.endpoint is None else _check_server(spec, policy)
            for line in lines:
                yield f"{role} {spec.model}: {line}", False
        except FtgateError as error:
            optional = getattr(spec, "optional", False)
            yield f"{role}: {error}" + (" (optional: left out)" if optional else ""), not optional


def _check_server(spec: ServerSpec, policy: Policy) -> Iterator[str]:
    """Lines on the servers of a model; one that is down is a warning while another serves."""
    from ftgate_ext.inference.client import check_endpoint
    from ftgate_ext.inference.endpoints import endpoint_of

    served = check_endpoint(endpoint_of(spec, policy.run, None))
    down = [url for url in spec.endpoints if any(url in line for line in served.warnings)]
    for url in spec.endpoints:
        if url not in down:
            yield f"served by {url}"
    for warning in served.warnings:
        yield f"warning: {warning}"


def _check_backend(spec: ServerSpec) -> Iterator[str]:
    """Lines on a model that lm-eval itself loads or asks."""
    from ftgate_ext.executors.backends import caveat_of, check_backend
    from ftgate_ext.executors.weights import identify_weights

    if not isinstance(spec, ModelSpec):
        return
    check_backend(spec)
    yield f"lm-eval backend {spec.backend}; latency, tokens and cost will not be measured"
    for weights in identify_weights(spec):
        yield f"weights {weights.path}: {len(weights.files)} files, {weights.fingerprint[:12]}"
    if caveat := caveat_of(spec):
        yield f"warning: {caveat}"


def _check_judge(policy: Policy, policy_file: Path) -> Iterator[tuple[str, bool]]:
    """The files that the judge's part of the policy names."""
    from ftgate_ext.judge.recorded import load_recorded
    from ftgate_ext.judge.stage import find_file, known_pairs_of

    if policy.judge is None:
        return
    folders = [policy_file.parent, Path()]
    try:
        known = known_pairs_of(policy.judge, folders).first(policy.judge.qualification_limit)
        yield (
            f"judge's known pairs: {len(known.pairs)} of {known.source}, sha256 {known.sha256[:12]}",
            False,
        )
        if policy.judge.replay:
            recorded = load_recorded(find_file(policy.judge.replay, folders))
            yield (
                f"judge's recorded verdicts: {len(recorded.verdicts)} of {policy.judge.replay}",
                False,
            )
    except FtgateError as error:
        yield str(error), True
