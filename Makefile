# Everything runs in a virtual environment of its own (.venv); only Python 3.11 or newer has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

VENV4 := .venv-transformers4

# Refused before it is made: an environment that an older Python began keeps it, whatever PYTHON is the next time.
NEW_VENV := $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; \
name it, as in: make quickstart PYTHON=python3.12")' && $(PYTHON) -m venv

# A process for each core, up to 8; a file's tests stay together, for what they share.
PYTEST := -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: quickstart test test-slow test-transformers4 mutation lint type format docs bench clean

$(VENV)/.quickstart: pyproject.toml
	$(NEW_VENV) $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e ".[quickstart]"
	touch $@

$(VENV)/.test: pyproject.toml
	$(NEW_VENV) $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e ".[test]"
	touch $@ $(VENV)/.quickstart

quickstart: $(VENV)/.quickstart  ## the main job, from text to report, in minutes
	$(BIN)/eclectus quickstart

test: $(VENV)/.test  ## all tests but the slow ones
	$(BIN)/python $(PYTEST)

test-slow: $(VENV)/.test  ## the tests that train for minutes
	$(BIN)/python $(PYTEST) -m slow --timeout 3600

$(VENV4)/.test: pyproject.toml
	$(NEW_VENV) $(VENV4)
	$(VENV4)/bin/pip install --quiet --upgrade pip
	$(VENV4)/bin/pip install --quiet -e ".[test]" "transformers>=4.57.6,<5"
	touch $@

test-transformers4: $(VENV4)/.test  ## models, sampling and training with the last transformers 4
	$(VENV4)/bin/python $(PYTEST) tests/test_base.py tests/engines tests/policies tests/rollouts tests/training

mutation: $(VENV)/.test  ## small mistakes in the core, which the tests must notice
	$(BIN)/python -W ignore -m tests.mutation.run

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.test
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: $(VENV)/.test
	$(BIN)/pip install --quiet -e ".[docs]"
	touch $@

docs: $(VENV)/.docs  ## the pages in docs/ as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/pip install --quiet -e ".[bench]"
	touch $@

bench: $(VENV)/.bench  ## speed against peers, as ratios measured in one run
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) $(VENV4) build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
