#!/usr/bin/env bash
# From nothing to a verdict on three real models: virtual environment, install, `ftgate demo`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_ftgate demo
exec ftgate demo "$@"
