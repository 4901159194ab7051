# Everything a new machine needs is Python 3.11 (venv, pip) and make; the rest lives in .venv.
PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin
UV := VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv
DEMO := demo
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help run test slow lint bench clean

help: ## what each target does
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.runs: $(BIN)/uv uv.lock pyproject.toml
	$(UV) sync --frozen --active --inexact --quiet --compile-bytecode --no-dev --extra batch --extra quality
	@touch $@

.venv/.tests: $(BIN)/uv uv.lock pyproject.toml
	$(UV) sync --frozen --active --inexact --quiet --compile-bytecode --extra batch --extra stream --extra quality --extra fraud
	@touch $@ .venv/.runs

run: .venv/.runs ## set up, reconcile a small simulated operator, show what leaked and how much of the truth was found
	@test -d $(DEMO) || $(BIN)/trueup simulate $(DEMO) --subscribers 400 --days 7 --seed 7
	@$(BIN)/trueup run --accept-clock --project $(DEMO)
	@echo
	@$(BIN)/trueup score-controls --project $(DEMO)
	@echo
	@$(BIN)/trueup sql --project $(DEMO) "select kind, status, count(*) findings, sum(impact) impact, currency from findings group by all order by abs(sum(impact)) desc"
	@echo "ask further: $(BIN)/trueup sql --project $(DEMO) 'select * from leakage_by_day', or open $(DEMO)/leakage.duckdb with any DuckDB client"

test: .venv/.tests lint ## set up, check style and types, run the tests
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

slow: .venv/.tests ## the tests that take long: thousands of random logs, many kills, mutations
	$(BIN)/python -m pytest -q -n 2 -m slow

lint: .venv/.tests ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.tests ## ratios against peers, measured in the same run
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/reconcile.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/fraud_speed.py

clean: ## remove what was made here
	rm -rf .venv $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis
