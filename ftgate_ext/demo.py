"""`ftgate demo`: the whole path on three real models that run on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ftgate_ext.assets import asset_dir
from ftgate_ext.gate import run_gate
from ftgate_ext.inference.endpoints import MODELS, embedded_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.schema import Decision

DEMO_POLICY = "demo.yaml"
DASHBOARD = "dashboard"
DASHBOARD_CASES = 60


def run_demo(run_dir: Path | None = None, *, quiet: bool = False) -> tuple[Decision, Path]:
    """Run the demo policy and draw its dashboard; returns the decision and the run folder."""
    from ftgate_ext.dashboard.site import write_site
    from ftgate_ext.history.store import open_store

    decision, folder = run_gate(asset_dir("configs") / DEMO_POLICY, run_dir, quiet=quiet)
    write_site(open_store(str(folder)), folder / DASHBOARD, DASHBOARD_CASES)
    return decision, folder


def serve_demo(port: int, say: Callable[[str], None]) -> None:
    """Serve the demo models until interrupted, for trying lm_eval or a gate.yaml by hand."""
    with embedded_engine(list(MODELS), port=port) as url:
        say(f"base_url={url}\nmodels: {', '.join(MODELS)}\nCtrl-C stops.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return
