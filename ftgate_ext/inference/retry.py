"""How long to wait before a request is sent again."""

from __future__ import annotations

import math
import random
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
MAX_RETRY_AFTER_S = 120.0


def backoff_s(attempt: int) -> float:
    """Exponential backoff with full jitter: anything from 0 to min(cap, 0.5 * 2^attempt).

    Full jitter spreads those that failed together over the whole time, so that they do not come
    back together.

    Args:
        attempt: How many attempts have failed, from 1.
    """
    return random.uniform(0, min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt, 60)))


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait that a server asks for, as a number or an HTTP date; at most two minutes."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds()
        except (TypeError, ValueError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
