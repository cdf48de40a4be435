"""Whether the hub can be reached at all: asked once, so that nobody waits for its client's retries.

Without a connection the hub's client tries each file for half a minute. It is told to look into its
own cache alone then, which either has the data or says so at once.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE_S = 3.0
"""Seconds that the hub may take to answer anything at all."""


@lru_cache(maxsize=4)
def answers(url: str, timeout_s: float = PROBE_S) -> bool:
    """Whether a server answers there, with whatever status; asked once in a process."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def cache_alone_if_unreachable() -> Iterator[bool]:
    """Let data sets be loaded from the cache alone where the hub does not answer.

    Yields:
        Whether the hub answers.
    """
    import datasets.config
    import huggingface_hub.constants as hub

    reachable = hub.HF_HUB_OFFLINE or answers(hub.ENDPOINT)
    with ExitStack() as stack:
        if not reachable:
            stack.enter_context(mock.patch.object(hub, "HF_HUB_OFFLINE", new=True))
            stack.enter_context(mock.patch.object(datasets.config, "HF_HUB_OFFLINE", new=True))
        yield reachable
