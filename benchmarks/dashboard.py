"""Time the history and the dashboard over many runs, and hold them against their limits.

    python benchmarks/dashboard.py [--runs 1000] [--page-runs 200]

Makes run folders through the schema's own classes, as large as those of a gate with four models
(comparisons.json near 200 kB), then times: the index of all runs read for the first time and again,
the table of `ftgate history`, and, in headless Chromium where there is one, the page of the runs
from its request to its first paint and to the last chart drawn. The best of three.
Exits with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.dashboard.site import live_index
from ftgate_ext.history import read_history
from ftgate_ext.history.store import INDEX, open_store
from ftgate_ext.history.table import history_table

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).resolve().parent.parent / "tests"
REPEATS = 3
INDEX_LIMIT_S = 5.0
PAINT_LIMIT_S = 2.0
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
DRAWN = "performance.getEntriesByName('drawn')[0].startTime / 1000"


def main() -> int:
    """Make the runs, time what is done with them, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--page-runs", type=int, default=200)
    asked = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory() as folder:
        runs, page_runs = Path(folder) / "runs", Path(folder) / "page"
        write_runs = importlib.import_module("run_folders").write_runs
        write_runs(runs, asked.runs)
        write_runs(page_runs, asked.page_runs)
        met = [*_time_index(runs, asked.runs), *_time_page(page_runs, asked.page_runs)]
    return 0 if all(met) else 1


def _time_index(runs: Path, n: int) -> list[bool]:
    def cold() -> None:
        (runs / INDEX).unlink(missing_ok=True)
        read_history(runs)

    size_kb = next(runs.glob("*/comparisons.json")).stat().st_size / 1000
    print(f"{n} runs, comparisons.json of {size_kb:.0f} kB each")
    met = _told("index, nothing read before", _best(cold), INDEX_LIMIT_S)
    _told("index, again", _best(lambda: read_history(runs)), None)
    history = read_history(runs)
    _told("table of `ftgate history`", _best(lambda: history_table(history)), None)
    store = open_store(runs)
    _told("page of all runs, made", _best(lambda: live_index(store)), None)
    return [met]


def _time_page(runs: Path, n: int) -> list[bool]:
    browser = importlib.import_module("browser")
    if browser.CHROMIUM is None:
        print("no Chromium on this machine: the page is not timed")
        return []
    store = open_store(runs)
    live_index(store)
    print(f"{n} runs in {Path(browser.CHROMIUM).name}, from the request on")
    painted, drawn = asyncio.run(_measure(browser, runs))
    return [
        _told("first paint", Taken(painted), PAINT_LIMIT_S),
        _told("all charts drawn", Taken(drawn), PAINT_LIMIT_S),
    ]


async def _measure(browser: Any, runs: Path) -> tuple[float, float]:
    from aiohttp.test_utils import TestServer

    from ftgate_ext.dashboard.server import make_app

    painted, drawn = [], []
    async with TestServer(make_app(open_store(runs))) as server, browser.chromium() as page:
        for _ in range(REPEATS):
            await page.open(f"http://127.0.0.1:{server.port}/")
            await page.run("new Promise(done => setTimeout(done, 300))")
            painted.append(float(await page.run(FIRST_PAINT)))
            drawn.append(float(await page.run(DRAWN)))
    return min(painted), min(drawn)


@dataclass(frozen=True)
class Taken:
    """The best of the repeats."""

    wall_s: float
    cpu_s: float | None = None
    """Less than the wall time on a machine that has other work; None for a browser."""


def _best(work: Callable[[], Any]) -> Taken:
    times = []
    for _ in range(REPEATS):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - began, time.process_time() - cpu))
    return Taken(min(wall for wall, _ in times), min(cpu for _, cpu in times))


def _told(what: str, taken: Taken, limit_s: float | None) -> bool:
    met = limit_s is None or taken.wall_s < limit_s
    held = "" if limit_s is None else f", limit {limit_s:.0f} s: {'met' if met else 'MISSED'}"
    cpu = "" if taken.cpu_s is None else f" ({taken.cpu_s:.2f} s of CPU)"
    print(f"  {what}: {taken.wall_s:.2f} s{cpu}{held}")
    return met


if __name__ == "__main__":
    sys.exit(main())
