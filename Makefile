# The two commands: `make demo` tunes a network on real images, `make test` runs all tests.
# Each sets up .venv by itself the first time and starts at once the next.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types floors docs check clean

demo: $(VENV)/.demo
	@$(BIN)/python examples/mnist_cnn.py

test: $(VENV)/.test
	@$(BIN)/python -m pytest

lint: $(VENV)/.check
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.check
	@$(BIN)/mypy

floors: $(VENV)/.check
	@$(BIN)/lint-imports

docs: $(VENV)/.docs
	@$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: lint types floors

clean:
	rm -rf $(VENV) docs/_build build dist

$(VENV)/.torch: $(STAMPS)
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch
	@$(PIP) --editable ".[demo]"
	@touch $@

$(VENV)/.test: $(VENV)/.torch
	@$(PIP) --editable ".[test]"
	@touch $@

$(VENV)/.check: $(VENV)/.torch
	@$(PIP) --editable ".[check]"
	@touch $@

$(VENV)/.docs: $(VENV)/.torch
	@$(PIP) --editable ".[docs]"
	@touch $@
