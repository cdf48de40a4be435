"""Tests of what the statistics still hand on under an old name."""

from __future__ import annotations

import numpy as np
import pytest

from ftgate_ext.stats.paired import quantile


def test_quantile_of_nothing_is_none() -> None:
    """No latency was measured: there is no p95, and it is not 0."""
    assert quantile(np.array([]), 0.95) is None
    assert quantile(np.arange(1.0, 101.0), 0.5) == pytest.approx(50.5)
