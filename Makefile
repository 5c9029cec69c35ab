# Everything a user or a developer runs. Needs Python 3.11 or newer and nothing else beforehand.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-fuzz test-slow test-cluster check docs format constraints clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.installed-dev
DOCUMENTED := $(VENV)/.installed-docs
TUNE_DEMO ?= --settings examples/demo.toml
PYTEST_ARGS ?=
# Else each process of the tests would compile every module anew.
export PYTHONDONTWRITEBYTECODE :=
# File by file in the order of the folders: the long ones, which have few tests, do not come last.
TEST_FAST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# The first of these that is new enough; `make PYTHON=... demo` names another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## install, then tune N-HiTS on the generated demo series (a few minutes)
	$(BIN)/paretocast tune $(TUNE_DEMO)

test: $(DEVELOPED)  ## install, then run the fast tests, a process for each core
	$(TEST_FAST) $(PYTEST_ARGS)

# FUZZ is the number of damaged files for each of 33 tests: 700 make more than 20,000.
# PARETOCAST_FUZZ_SECONDS is what counts as a hang, 10; a busy machine needs more.
test-fuzz: $(DEVELOPED)  ## damage every file of a study and of a deployment in thousands of ways and read it
	OMP_NUM_THREADS=1 PARETOCAST_FUZZ=$(or $(FUZZ),700) $(BIN)/python -m pytest -n auto --timeout 3600 tests/fuzz $(PYTEST_ARGS)

test-slow: $(DEVELOPED)  ## run the tests that take more than five seconds each
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-cluster: $(DEVELOPED)  ## run the tests on a real Slurm and a real PostgreSQL, where there are any
	$(BIN)/python -m pytest $$(grep -rlE "mark\.(slurm|postgres)" tests --include="*.py") \
		-m "(slurm or postgres) and not slow" $(PYTEST_ARGS) || [ $$? -eq 5 ]

check: $(DEVELOPED)  ## format, lint, types and the fast tests; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST_FAST) $(PYTEST_ARGS)

docs: $(DOCUMENTED)  ## build the documentation as a site that needs no network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html"

format: $(DEVELOPED)  ## format the code and apply the safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

constraints: $(DEVELOPED)  ## pin what is installed now in constraints.txt
	@{ sed '/^#/!d' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable \
		| grep -v '^pip==' | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt
	touch $(INSTALLED) $(DEVELOPED)

clean:  ## remove the environment, builds and caches, never results
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks experiments -name __pycache__ -type d -prune -exec rm -rf {} +

# Done again only when the dependencies or their pins change.
$(INSTALLED): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "Paretocast needs Python 3.11 or newer; none was found as python3 or python3.11 to python3.13." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3 test" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Paretocast needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@[ -x $(BIN)/python ] || { echo "creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the pinned dependencies (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEVELOPED): $(INSTALLED)
	@echo "installing what development needs beside them"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(DOCUMENTED): $(INSTALLED)
	@echo "installing what builds the site"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
