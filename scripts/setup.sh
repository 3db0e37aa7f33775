#!/bin/sh
# Finds a Python that will do and lets setup.py make .venv with it: sh setup.sh runtime|dev
# An existing .venv keeps its Python, unless PYTHON names another.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH VIRTUAL_ENV __PYVENV_LAUNCHER__

is_new_enough() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    if ! is_new_enough "$PYTHON"; then
        echo "Holdfast needs Python 3.11 or newer; PYTHON=$PYTHON is not one." >&2
        exit 1
    fi
else
    for PYTHON in "$root/.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11 python ''; do
        if [ -n "$PYTHON" ] && is_new_enough "$PYTHON"; then
            break
        fi
    done
    if [ -z "$PYTHON" ]; then
        echo "Holdfast needs Python 3.11 or newer, and none is on the PATH. Name one: make setup PYTHON=/path/to/python3" >&2
        exit 1
    fi
fi
exec "$PYTHON" -I "$root/scripts/setup.py" "$@"
