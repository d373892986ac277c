# `make` lists what there is. Needs Python 3.11 or newer; everything else is fetched into .venv and ~/.cache/channels.
SHELL := /bin/bash
PY := .venv/bin/python
READY := .venv/.installed
ARGS ?=

# The first Python that is new enough and can make a virtual environment; PYTHON=... chooses another.
CANDIDATES := $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14
SUITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo up down test bench chaos hostile year lint requirements providers openapi cli lock clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

demo: $(READY) ## The main job on a real Kafka and PostgreSQL, told with figures (about a minute).
	@.venv/bin/channels demo $(ARGS)

up: $(READY) ## Start Kafka, PostgreSQL and the fleet; data live in .channels.
	@.venv/bin/channels up $(ARGS)

down: $(READY) ## Stop them; the data stay.
	@.venv/bin/channels down

# Three parts of the suite side by side, each with a Kafka and a PostgreSQL of its own: most tests wait for something, and with
# two parts half of two cores was idle.
JOBS ?= $(if $(ARGS),0,3)

test: $(READY) ## Every test, JOBS (3) at a time; ARGS="tests/unit -k name" runs some, one at a time.
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

bench: $(READY) ## Measure against the alternatives, rewrite docs/PERFORMANCE.md; BENCH=router|ingest|e2e|memory|normalise|control|redelivery|health for one part.
	@$(PY) -m tests.bench $(BENCH) $(ARGS)

chaos: $(READY) ## Kill, freeze and cut everything under load; then play every planted fault (about 70 minutes; ARGS="--skip-planted": 20).
	@$(PY) -m tests.chaos $(ARGS)

hostile: $(READY) ## Malformed, slow, idle and forging clients, SIGTERMs under load; rewrite docs/HOSTILE_CLIENTS.md (about 15 minutes).
	@$(PY) -m tests.hostile $(ARGS)

year: $(READY) ## 10 000 tokens over a virtual year on a real PostgreSQL: what was renewed, what ended (some minutes).
	@CHANNELS_YEAR_TOKENS=10000 CHANNELS_YEAR_DAYS=365 $(PY) -m pytest -q -s tests/integration/services/token_rotator/test_year.py $(ARGS)

lint: $(READY) ## Style, types and the layers.
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

requirements: $(READY) ## Each requirement with the tests that cover it.
	@$(PY) -m tests.requirements_report

providers: $(READY) ## Rewrite docs/PROVIDERS.md from what the examples and the simulator prove.
	@$(PY) -m tests.contract.providers.page

openapi: $(READY) ## Rewrite schemas/openapi.json from the code of the management API.
	@$(PY) -m services.control.openapi

cli: $(READY) ## Rewrite docs/CLI.md from the commands of the CLI.
	@$(PY) -m services.cli.reference

lock: $(READY) ## Resolve the dependencies anew and rewrite the lock files.
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip compile --quiet --upgrade $(LOCK_OPTIONS) -o requirements.lock pyproject.toml
	@$(PY) -m uv pip compile --quiet --upgrade $(LOCK_OPTIONS) --extra dev -o requirements-dev.lock pyproject.toml
	@wc -l requirements.lock requirements-dev.lock

# No index address, no path of this machine: the lock says what, not from where.
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

clean: ## Stop everything; remove the environment and the caches. The data in .channels stay.
	@if [ -x .venv/bin/channels ]; then .venv/bin/channels down; fi
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): requirements-dev.lock pyproject.toml
	@set -e; for candidate in $(CANDIDATES); do \
		if "$$candidate" -c '$(SUITS)' >/dev/null 2>&1; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "make: no Python 3.11 or newer with the venv module found; install one, or run make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	if ! .venv/bin/python -c '$(SUITS)' >/dev/null 2>&1; then \
		echo "creating .venv with $$("$$found" --version)"; \
		rm -rf .venv; "$$found" -m venv .venv; \
	fi; \
	echo "downloading $$(grep -c '==' requirements-dev.lock) locked packages into .venv (about 200 MB, once)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
