#!/bin/sh
# Renews requirements/*.txt from pyproject.toml, for every platform. Arguments go to uv: --upgrade, --upgrade-package NAME.
# uv is only needed here, so it comes into a place of its own.
set -eu
cd -- "$(dirname -- "$0")/.."
sh scripts/setup.sh runtime
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
.venv/bin/python -m venv "$place"
"$place/bin/python" -m pip install -qq --disable-pip-version-check uv

compile() {
    "$place/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}
compile pyproject.toml --group build --output-file requirements/runtime.txt "$@"
compile --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt "$@"
