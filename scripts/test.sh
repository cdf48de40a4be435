#!/usr/bin/env bash
# Virtual environment, install, linters, types, tests. Arguments go to pytest.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_ftgate dev,demo
ruff check .
ruff format --check .
mypy
# The demo extra is installed, so the tests on real models run too.
python -m pytest -n auto --dist loadscope -m "not slow and not gpu and not network" "$@"
