#!/usr/bin/env python3
"""Print a Markdown comparison of N models.

python scripts/compare.py RUN                              a run folder
python scripts/compare.py candidate=DIR production=DIR     folders that lm_eval wrote
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ftgate_ext.errors import WRONG_USE, FtgateError
from ftgate_ext.gate import compare_any
from ftgate_ext.report.tables import comparison_markdown


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Print a Markdown comparison of N models.")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run folder, or role=folder pairs")
    parser.add_argument("-o", "--output", type=Path, default=Path("comparison"), help="for pairs")
    given = parser.parse_args()
    try:
        comparisons, _ = compare_any(given.runs, given.output)
    except FtgateError as error:
        parser.exit(WRONG_USE, f"compare: {error}\n")
    print(comparison_markdown(comparisons))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
