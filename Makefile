# The verbs of this repository. Each needs only Python 3.11+ with venv, and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: run test test-long check format bench evaluate clean

run: $(VENV)/.installed          ## start a traffic junction on this machine
	@$(BIN)/edgecore demo $(ARGS)

test: $(VENV)/.installed         ## every test, with coverage
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term $(ARGS)

test-long: $(VENV)/.installed    ## proofs of durability in their long form; goes on where it stopped
	$(BIN)/python -m tests.crash kill --rounds 1000 $(ARGS)
	$(BIN)/python -m tests.crash cuts --cuts 500 $(ARGS)
	$(BIN)/python -m tests.crash order --messages 100000 $(ARGS)
	$(BIN)/python -m tests.crash silence --cuts 200 $(ARGS)
	$(BIN)/python -m tests.crash month $(ARGS)
	EDGECORE_HISTORIES=20000 $(BIN)/python -m pytest -n 0 --timeout 7200 tests/properties/test_kept_sessions.py
	EDGECORE_HISTORIES=20000 $(BIN)/python -m pytest -n 0 --timeout 14400 tests/properties/test_uplink_outbox.py
	EDGECORE_HISTORIES=100000 $(BIN)/python -m pytest -n 0 --timeout 14400 tests/properties/test_shadow_histories.py

check: $(VENV)/.installed        ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed       ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed        ## measure side by side with the peers
	$(BIN)/python -m tests.benchmarks $(ARGS)

evaluate: $(VENV)/.installed     ## the detection model, on scenes that it never saw
	$(BIN)/python tools/evaluate_traffic.py $(ARGS)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgecore needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo "Making $(VENV) (once; some minutes on a slow line) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:                           ## forget the environment and what tools left behind
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
