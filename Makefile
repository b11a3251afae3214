# `make run` and `make test` work from a fresh clone with Python 3.11+, make and the package registry.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: benchmarks run test coverage mutants setup lint audit docs

run: setup
	$(BIN)/python run.py

test: setup
	$(BIN)/python -m pytest

# Which lines and branches the tests take, in every process that they start.
coverage: setup
	$(BIN)/python -m pytest --cov --cov-report=term

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the tests do not notice of small changes to the code that numbers rest on: `mutmut show NAME`, in .venv/bin.
mutants: setup
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# The pages in site/, which open from the disk; a link that leads nowhere is an error.
docs: setup
	$(BIN)/mkdocs build --strict --quiet

# Known vulnerabilities of what is installed, by the public package index's advisories; a mirror has none, and it fails.
audit: setup
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --strict --skip-editable --progress-spinner off

setup: .venv/.installed

# Made again whenever what it is made from changes.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The tables of docs/benchmarks.md, on a machine that does nothing else.
benchmarks: setup
	for name in overhead cost data throughput embedded growth serving; do $(BIN)/python benchmarks/$$name.py || exit; done
