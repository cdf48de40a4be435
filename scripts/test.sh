#!/usr/bin/env bash
# Virtual environment, install, linters, types, tests. Arguments go to pytest.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_ftgate dev,demo
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
