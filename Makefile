# `make demo` shows the whole loop, `make check` is what a change has to pass. All of them set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: demo check check-all slow test lint clean

demo: .venv/train.stamp
	$(BIN)/fer-edge demo

check: lint
	$(PYTEST) -m 'not slow and not serial'
	$(BIN)/pytest -m 'serial and not slow'

check-all: check slow

slow: .venv/dev.stamp  # an arm64 userland under emulation, two runtimes side by side
	$(BIN)/pytest -m slow

test: .venv/dev.stamp  # in under two minutes
	$(PYTEST) -m 'not slow and not serial and not tensorflow'

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/%.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "fer-edge needs Python 3.10 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "this Python cannot make environments; type: sudo apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
