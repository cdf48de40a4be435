"""What several test files share. Keys of whoever runs the tests stay out of all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The tests are no package: whatever the import mode, `import fake_server` must work.
sys.path.insert(0, str(Path(__file__).resolve().parent))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_server import FakeServer


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may use, or depend on, a key of the machine that it runs on."""
    for name in ("OPENAI_API_KEY", "FTGATE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A chat server on a free port that serves `toy` and answers everything with a clean review."""
    from fake_server import FakeServer

    with FakeServer() as server:
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some milliseconds instead of half a minute: for the next attempt, and for a server that is gone."""
    from ftgate_ext.inference import replicas, retry

    monkeypatch.setattr(retry, "MAX_BACKOFF_S", 0.01)
    monkeypatch.setattr(replicas, "PROBE_EVERY_S", 0.02)
    monkeypatch.setattr(replicas, "BACK_WITHIN_S", 0.2)
