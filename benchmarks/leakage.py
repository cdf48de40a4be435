"""How fast leaks are found, how much memory that takes, and what is found of 25 planted ones.

    python benchmarks/leakage.py [--rows 1000000] [--processes 2] [--hygiene]

Writes unrelated training rows of about 300 tokens each (1.5 GB a million) into a temporary folder,
plants 10 exact, 10 reformatted and 5 paraphrased cases of the shipped sets among them and looks for
all shipped cases. Targets at a million rows on two cores: 10 minutes and 4 GB.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.hygiene import check_training
from ftgate_ext.evalset.leakage import find_leakage, shipped_texts
from ftgate_ext.evalset.leakage_words import leakage_text
from ftgate_ext.evalset.plain_words import plain_words

if TYPE_CHECKING:
    from ftgate_ext.schema import Leakage

TARGET_S, TARGET_GB = 600.0, 4.0
PLANTED = 25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--hygiene", action="store_true", help="time `hygiene` on the rows too")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    writer: Any = importlib.import_module("training_rows")
    cases = shipped_texts()
    long_ones = [case for case in cases if len(plain_words(case.text)) >= 30]
    chosen = long_ones[:: len(long_ones) // PLANTED][:PLANTED]
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "train.jsonl"
        plants = writer.write_with_leaks(train, arguments.rows, [(c.id, c.text) for c in chosen])
        print(f"{arguments.rows:,} rows, {train.stat().st_size / 1e9:.2f} GB, {len(cases)} cases")
        start = time.perf_counter()
        found = find_leakage(cases, [train], processes=arguments.processes)
        _print_cost("leakage", time.perf_counter() - start, arguments)
        print(leakage_text(found))
        _print_plants(plants, found)
        if arguments.hygiene:
            start = time.perf_counter()
            check_training([train], processes=arguments.processes)
            _print_cost("hygiene", time.perf_counter() - start, arguments)


def _print_cost(what: str, seconds: float, arguments: argparse.Namespace) -> None:
    """Peak memory: of this process, and of the largest worker times their number."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * arguments.processes
    target = TARGET_S * arguments.rows / 1_000_000
    print(
        f"{what}: {seconds:.0f} s (target {target:.0f}), {arguments.rows / seconds:,.0f} rows/s, "
        f"{own / 1e6:.2f} + {workers / 1e6:.2f} GB (target {TARGET_GB:g})"
    )


def _print_plants(plants: list[Any], found: Leakage) -> None:
    by_place = {(case.id, place.line): place for case in found.cases for place in case.places}
    for way in ("exact", "reformatted", "paraphrased"):
        planted = [plant for plant in plants if plant.way == way]
        places = [by_place.get((plant.id, plant.line)) for plant in planted]
        shown = ", ".join(f"{p.way} {p.score:.2f}" if p else "not found" for p in places)
        print(f"planted {way}: {sum(map(bool, places))} of {len(places)} ({shown})")
    lines = {plant.line for plant in plants}
    alarms = {p.line for case in found.cases for p in case.places} - lines
    print(f"unrelated rows called leaks: {len(alarms)}")


if __name__ == "__main__":
    main()
