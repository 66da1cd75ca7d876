# Everything a contributor runs. Each target does its own set-up: a Python from 3.11 up is all that is needed.

.DEFAULT_GOAL := help
SHELL := /bin/bash

# A candidate counts only if it runs (a pyenv shim may not), is new enough, and can make virtual environments.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON := for each in python3.13 python3.12 python3.11 python3 python3.14 \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[1-4]*/bin/python3; do \
	if "$$each" -c '$(USABLE)' >/dev/null 2>&1; then command -v "$$each"; break; fi; done
PYTHON ?= $(shell $(FIND_PYTHON))

VENV ?= .venv
BIN := $(VENV)/bin
# With the name of the distribution: an environment that has an earlier one in it is made anew, since two of them would
# own the same command.
MADE := $(VENV)/.made-penstock-http
EXTRAS := vectors,parquet,hdf5,compression,aiohttp,httpx,httpx2,requests,prometheus,report,move
# Set by CI: PYTEST_ARGS='--junitxml=...'; on a laptop: PYTEST_ARGS='-k limit'.
PYTEST_ARGS ?=
# A test that hangs must fail and say where, not stop everything; those that need longer say so themselves.
PYTEST := $(BIN)/python -m pytest -q --timeout
# Tests spend much of their time waiting for timers and child processes, so one more at a time than there are cores.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( n > 8 ? 8 : n + 1 )))

.PHONY: help
help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(MADE):
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: no Python from 3.11 up with venv was found; install one, or say PYTHON=/path/to/python3" >&2; \
		exit 1; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version) ($(PYTHON))"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@# --group, below, came with pip 25.1.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

# Two stamps, so that the demo need not wait for what only tests and linters use.
$(VENV)/.demo-ready: pyproject.toml $(MADE)
	@echo "Installing penstock into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[vectors]'
	@touch $@

$(VENV)/.ready: pyproject.toml $(MADE)
	@echo "Installing penstock and what its tests use into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]' --group test --group lint
	@touch $@ $(VENV)/.demo-ready

.PHONY: setup
setup: $(VENV)/.ready  ## Make .venv with everything; the other targets do this themselves.

.PHONY: demo
demo: $(VENV)/.demo-ready  ## The main jobs in about a minute: a pull and a census, killed half-way, resumed, judged.
	@$(BIN)/penstock demo

# Connections that break, at every moment and in every way, and processes that fork: real faults, though they stand with
# what they are about.
BROKEN := tests/contract/test_wire_cancel.py tests/contract/test_wire_closing_servers.py tests/adapters/test_http_processes.py

# What takes long: the pages of the docs as they stand there, commands with processes of their own, and simulations.
LONG := tests/docs/test_docs_run.py tests/migrate/test_pytest_plugin.py tests/migrate/bench/test_bench_for_real.py \
	tests/migrate/test_back.py tests/cli/test_token_command.py tests/cli/test_dead_credential.py tests/cli/test_demo_move.py \
	tests/inbound/proxy/test_memory_real.py tests/inbound/proxy/test_variants_real.py tests/inbound/test_memory.py \
	tests/inbound/proxy/test_two_ways.py tests/inbound/cache/test_schedules.py tests/inbound/processes/test_purge_schedules.py \
	tests/engine/test_adaptive_flow.py tests/engine/test_stress.py tests/engine/test_outages.py tests/stores/test_variants.py \
	tests/cli/test_report_commands.py tests/report/test_timeline.py \
	tests/outbound/test_pull_shapes.py tests/adapters/test_transports.py tests/rules/moving/test_pairs.py

.PHONY: test
test: $(VENV)/.ready  ## All tests that need no other server than the ones they start themselves, but for test-faults and test-long.
	$(PYTEST) 120 -n $(WORKERS) --dist worksteal --ignore=tests/real --ignore=tests/faults $(BROKEN:%=--ignore=%) $(LONG:%=--ignore=%) --ignore-glob='tests/conformance/test_*' $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(VENV)/.ready  ## Kills, broken connections, full disks, hostile servers, for real. Five minutes.
	$(PYTEST) 120 -n $(WORKERS) --dist worksteal tests/faults $(BROKEN) $(PYTEST_ARGS)

.PHONY: test-long
test-long: $(VENV)/.ready  ## Pages of the docs, commands and their processes, simulations. Four minutes.
	$(PYTEST) 240 -n $(WORKERS) --dist worksteal $(LONG) $(PYTEST_ARGS)

# The web frameworks that the cache is tested in and in front of; a stamp of its own, so that unit tests cannot depend on them.
$(VENV)/.frameworks-ready: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group frameworks
	@touch $@

.PHONY: test-real
test-real: $(VENV)/.frameworks-ready  ## Tests against Chroma, Datasette, json-server, web frameworks, PostgreSQL, Prometheus and Chromium; what is not installed is skipped and named.
	$(PYTEST) 900 -n 2 --dist loadfile tests/real $(PYTEST_ARGS)

.PHONY: conformance
conformance: $(VENV)/.ready  ## The cache against the public suite cache-tests, if that is beside the project. Five minutes.
	$(PYTEST) 900 tests/conformance $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.ready  ## Style, import directions, and whether the generated reference is up to date.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/make_reference.py --check

.PHONY: format
format: $(VENV)/.ready  ## Mend what can be mended by itself, and write the generated reference.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/make_reference.py

.PHONY: types
types: $(VENV)/.ready  ## mypy, strict.
	$(BIN)/mypy

# What the benchmarks are compared with; not a part of the other set-up, so that tests do not depend on it.
$(VENV)/.bench-ready: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench --group frameworks
	@touch $@

.PHONY: bench
bench: $(VENV)/.bench-ready  ## Side-by-side comparisons; see benchmarks/README.md. About ten minutes.
	$(BIN)/python -m benchmarks all

.PHONY: soak
soak: $(VENV)/.bench-ready  ## Long runs: a thousand kills, ten million items. An hour and a half.
	$(BIN)/python -m benchmarks.soak

.PHONY: clean
clean:  ## Remove what these targets made.
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
