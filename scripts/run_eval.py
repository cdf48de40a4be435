#!/usr/bin/env python3
"""Ask one endpoint one eval set and write a results JSON.

    python scripts/run_eval.py http://localhost:8000/v1 codereview_golden --model my-model -o out.json

ENDPOINT is the base URL of an OpenAI-compatible server, EVALSET an lm-eval task name. The model's
name is asked from the server when it serves only one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ftgate_ext.errors import WRONG_USE, FtgateError
from ftgate_ext.harness import evaluate_endpoint


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Ask one endpoint one eval set.")
    parser.add_argument("endpoint", metavar="ENDPOINT")
    parser.add_argument("evalset", metavar="EVALSET")
    parser.add_argument("--model", help="name to ask for, where the server serves several")
    parser.add_argument("--api-key-env", help="environment variable that holds the key")
    parser.add_argument("--limit", type=int, help="only the first so many cases")
    parser.add_argument("-o", "--output", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    try:
        written = evaluate_endpoint(
            given.endpoint, given.evalset, given.output, given.model, given.api_key_env, given.limit
        )
    except FtgateError as error:
        parser.exit(WRONG_USE, f"run_eval: {error}\n")
    print(f"Wrote {written}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
