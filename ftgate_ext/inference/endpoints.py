"""Which server answers for a model of the policy: the URL it names, or the embedded engine."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.inference.client import Endpoint
from ftgate_ext.policy_servers import EMBEDDED, RunSpec, ServerSpec
from ftgate_ext.schema import PolicyError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftgate_ext.policy import Policy

BASE = "smollm2-135m"
ADAPTERS = Path(__file__).resolve().parent.parent / "demo_adapters"
MODELS: dict[str, str | None] = {BASE: None, f"{BASE}+early": "early", f"{BASE}+final": "final"}
"""Model name -> the adapter that is merged into the base."""


def embedded_models(policy: Policy) -> list[str]:
    """Names of the models that the embedded engine must serve, judge included.

    Raises:
        PolicyError: A name that it does not have.
    """
    judge: list[ServerSpec] = [policy.judge] if policy.judge else []
    specs = [*policy.models.values(), *judge]
    names = list(dict.fromkeys(s.model for s in specs if s.endpoint == EMBEDDED))
    for name in names:
        if name not in MODELS:
            raise PolicyError(
                f"model {name!r}: the embedded engine has no such model; it has {', '.join(MODELS)}."
            )
    return names


def endpoint_of(spec: ServerSpec, run: RunSpec, embedded_url: str | None) -> Endpoint:
    """The client's view of a model or a judge.

    Args:
        spec: From the policy.
        run: Concurrency, timeouts, attempts and budgets.
        embedded_url: Base URL of the embedded engine, where it runs.

    Raises:
        RunError: The model uses the embedded engine and none is running.
    """
    urls = [embedded_url] if spec.endpoint == EMBEDDED else spec.endpoints
    url = next(iter(urls), None)
    if url is None:
        raise RunError(
            f"model {spec.model!r}: the embedded engine is not running; use the ftgate command."
        )
    return Endpoint(
        base_url=url, model=spec.model, api_key_env=spec.api_key_env, concurrency=run.concurrency,
        timeout_s=run.timeout_s, max_attempts=run.max_attempts, price=spec.price,
        more_urls=tuple(spec.endpoints[1:]), adaptive=run.adaptive, request_budget_s=run.request_budget_s,
        budget_s=run.budget_s, budget_usd=run.budget_usd, stop_after=run.stop_after, stream=run.stream,
        requests_per_minute=spec.requests_per_minute, tokens_per_minute=spec.tokens_per_minute,
    )  # fmt: skip


@contextmanager
def embedded_engine(names: list[str], port: int = 0) -> Iterator[str | None]:
    """Serve `names` on loopback and yield the base URL; yield None where there are none.

    Raises:
        RunError: The extra `demo` or the weights are missing.
    """
    if not names:
        yield None
        return
    from ftgate_ext.inference.engine import serve
    from ftgate_ext.inference.weights import default_cache_dir, find_base_weights, merge_adapter

    base, cache = find_base_weights(), default_cache_dir()
    adapters = {name: MODELS[name] for name in names}
    weights = {
        name: merge_adapter(base, ADAPTERS / a, cache) if a else base
        for name, a in adapters.items()
    }
    with serve(weights, port=port) as engine:
        yield engine.base_url
