# Everything runs in .venv, which is made with nothing but Python 3.11+ and a package registry.
# PYTHON chooses the interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test test-server test-full check docs bench clean
help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 14

setup: $(VENV)/.installed  ## the virtual environment and everything in it

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Choose another: make PYTHON=python3.12 ...")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,offline]'
	@touch $@

demo: setup      ## index the documentation of this Python and ask it questions
	$(BIN)/qdrant-static demo

test: setup      ## all tests that need no server
	$(BIN)/python -m pytest -m 'not server and not full'

test-server: setup  ## the tests that need a server, at QDRANT_URL
	@test -n "$$QDRANT_URL" || { echo 'set QDRANT_URL, e.g. http://localhost:6333'; exit 2; }
	$(BIN)/python -m pytest -m server

test-full: setup ## all tests that need no server, in their long form
	$(BIN)/python -m pytest -m 'not server'

check: setup     ## style, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

docs: setup      ## the documentation, into site/
	$(BIN)/mkdocs build --strict

bench: setup     ## the benchmarks, on public text of this machine
	$(BIN)/python benchmarks/bm25.py --corpus documentation

clean:           ## remove what the other targets made
	rm -rf $(VENV) site build dist qdrant-static-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
