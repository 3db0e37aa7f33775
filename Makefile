# `make` lists the targets. Nothing but Python 3.11 or newer, git and make is needed.
# PYTHON=… chooses the interpreter of a new .venv; ARGS=… is passed on.

.DEFAULT_GOAL := help
.PHONY: help setup dev run test test-integrations proof bench check format-check lint imports types generated format lock clean

# What a shell carries along must not reach into .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH VIRTUAL_ENV
export PYTHONNOUSERSITE := 1

VENV := .venv/bin
SET_UP = @PYTHON="$(PYTHON)" sh scripts/setup.sh
PYTEST = $(VENV)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with what Holdfast needs to run
	$(SET_UP) runtime

dev: ## setup, and what tests and checks need
	$(SET_UP) dev

run: setup ## serve on 127.0.0.1:8787
	@exec $(VENV)/holdfast serve $(ARGS)

test: dev ## run the tests, on SQLite and on a PostgreSQL of their own
	@exec $(PYTEST) -m "not integration and not proof" $(ARGS)

test-integrations: dev ## run the tests that drive other projects' packages
	@if [ -d tests/integrations ]; then exec $(PYTEST) -m integration tests/integrations $(ARGS); \
	else echo "There is no tests/integrations yet."; fi

proof: dev ## run the long tests
	@exec $(PYTEST) -m proof -o faulthandler_timeout=0 $(ARGS)

bench: dev ## measure
	@exec $(VENV)/python -m bench $(ARGS)

check: format-check lint imports types generated ## everything that is checked without running the tests

format-check: dev
	$(VENV)/ruff format --check --quiet .

lint: dev
	$(VENV)/ruff check --quiet .

imports: dev
	$(VENV)/lint-imports --no-cache --no-logo

types: dev
	$(VENV)/mypy

# Each scripts/check_*.py compares something generated (a schema, a diagram) with what it is generated from.
generated: dev
	@set -e; for check in $(wildcard scripts/check_*.py); do $(VENV)/python $$check; done

format: dev ## put the code in form
	$(VENV)/ruff check --quiet --fix-only .
	$(VENV)/ruff format --quiet .

lock: ## renew requirements/*.txt; ARGS=--upgrade for newer versions
	sh scripts/lock.sh $(ARGS)

clean: ## remove .venv, caches and builds
	rm -rf .venv .venv.lock build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
