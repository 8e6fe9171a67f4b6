# make help lists the targets. PYTHON picks the interpreter (3.10 to 3.12), ARGS goes to pytest or the demo.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# The exit code of pytest when ARGS choose no test: of one part they may.
NONE := 5
# A notice of a newer pip among the output would look like a failure.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
# pip runs as root in CI's container, which it would warn of.
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help venv test lint demo bench clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/.test ## .venv with lokiredis (editable) and what its tests need

test: .venv/.test ## lint, types and every test; make test ARGS="-k claim --long"
	@$(MAKE) --no-print-directory lint
	@beside=0; $(PYTEST) -n 4 --dist worksteal --part beside $(ARGS) || beside=$$?; \
	if [ $$beside -ne 0 ] && [ $$beside -ne $(NONE) ]; then exit $$beside; fi; \
	alone=0; $(PYTEST) --part alone $(ARGS) || alone=$$?; \
	if [ $$alone -eq $(NONE) ]; then exit $$beside; fi; exit $$alone

lint: .venv/.test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: .venv/.base ## a fleet of agents works through a real plan on a private Redis
	@$(BIN)/lokiredis demo $(ARGS)

bench: .venv/.bench ## every load, beside other queues: five minutes; make bench ARGS=--full
	$(BIN)/python bench/run.py $(ARGS)

clean: ## removes what make made; queues in .loki stay
	rm -rf .venv build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter that can't make a venv shall say so in one line, not in a traceback.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here: install Python 3.10 to 3.12, or make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is older than 3.10: make PYTHON=/path/to/a/newer/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no ensurepip: install it (Debian, Ubuntu: apt-get install python3-venv), or make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making .venv (once)"
	@$(PYTHON) -m venv .venv

.venv/.base: pyproject.toml | .venv/bin/python
	@$(PIP) -e .
	@touch $@

.venv/.test: pyproject.toml | .venv/bin/python
	@$(PIP) -e '.[test]'
	@touch .venv/.base $@

.venv/.bench: pyproject.toml | .venv/bin/python
	@$(PIP) -e '.[bench]'
	@touch .venv/.base $@
