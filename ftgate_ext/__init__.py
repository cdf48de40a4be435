"""The release decision for a fine-tuned language model, on top of lm-evaluation-harness."""

import os

__version__ = "0.1.0"

# A wheel holds `tasks`, `golden` and `configs` inside the package; in a checkout they stand beside
# it. Searching both makes `ftgate_ext.tasks` (the entry point for lm-eval) resolve either way.
__path__.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib costs 5 ms
