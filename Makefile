# Everything a new machine needs is Python 3.11 or 3.12 (venv, pip) and make; the rest lives in .venv.
PYTHON ?= python3.11
UV_VERSION := 0.13.9
BIN := .venv/bin
UV := VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv
DEMO := demo
BASE ?= main
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help run test one check fmt slow lint bench bench-full clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.runs: $(BIN)/uv uv.lock pyproject.toml
	$(UV) sync --frozen --active --inexact --quiet --compile-bytecode --no-dev --extra batch --extra quality --extra fraud
	@touch $@

.venv/.tests: $(BIN)/uv uv.lock pyproject.toml
	$(UV) sync --frozen --active --inexact --quiet --compile-bytecode --extra batch --extra stream --extra quality --extra fraud --extra workbench --extra evidence --extra notify
	@touch $@ .venv/.runs

run: .venv/.runs ## set up, reconcile and score a small simulated operator, show leakage and suspicious transactions
	@$(MAKE) --no-print-directory -j 2 $(DEMO)/.validated $(DEMO)-training/.trained
	@$(MAKE) --no-print-directory $(DEMO)/.promoted
	@$(BIN)/trueup run --accept-clock --project $(DEMO)
	@echo
	@echo "most suspicious transactions, one of each party"
	@$(BIN)/trueup sql --project $(DEMO) "select strftime(started_at, '%d %b %H:%M') started_at, party, service, round(probability, 3) probability, array_to_string(from_json(sentences, '[\"VARCHAR\"]')[:3], '; ') why from suspicious_transactions qualify row_number() over (partition by party order by probability desc, event_id) = 1 order by probability desc, party limit 8"
	@echo
	@$(BIN)/trueup score-controls --project $(DEMO)
	@echo
	@$(BIN)/trueup sql --project $(DEMO) "select kind, status, count(*) findings, sum(impact) impact, currency from findings group by all order by abs(sum(impact)) desc"
	@echo "next: $(BIN)/trueup sql --project $(DEMO) 'select * from leakage_by_day', or open $(DEMO)/leakage.duckdb with any DuckDB client"

$(DEMO)/.validated: .venv/.runs
	@test -d $(DEMO) || $(BIN)/trueup simulate $(DEMO) --subscribers 400 --days 7 --seed 7
	@$(BIN)/trueup ingest --project $(DEMO) >/dev/null
	@$(BIN)/trueup quality --project $(DEMO) >/dev/null
	@touch $@

# The model is trained on an operator of another seed; its voice and messages, and one trial of parameters, are enough.
$(DEMO)-training/.trained: .venv/.runs
	@test -d $(DEMO)-training || $(BIN)/trueup simulate $(DEMO)-training --subscribers 150 --days 14 --seed 8 >/dev/null
	@grep -q '^trials' $(DEMO)-training/trueup.toml || sed -i 's/^alerts_per_day.*/&\ntrials = 1/' $(DEMO)-training/trueup.toml
	@$(BIN)/trueup ingest msc --project $(DEMO)-training >/dev/null
	@$(BIN)/trueup train --truth $(DEMO)-training/truth.parquet --project $(DEMO)-training | head -n 1
	@touch $@

$(DEMO)/.promoted: $(DEMO)/.validated $(DEMO)-training/.trained
	@mkdir -p $(DEMO)/models && cp -r $(DEMO)-training/models/. $(DEMO)/models
	@$(BIN)/trueup promote "$$(ls -t $(DEMO)/models | head -n 1)" --since 0 --project $(DEMO) >/dev/null
	@touch $@

test: .venv/.tests lint ## set up, check style and types, run the tests
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" --durations 25

one: .venv/.tests ## run one test file or test: make one T=tests/log/test_lake.py
	$(BIN)/python -m pytest -q -x $(T)

check: .venv/.tests lint ## check style and types, and test what changed since the branch left BASE (main)
	@tests="$$($(BIN)/python tests/changed.py $(BASE))"; \
	if [ -n "$$tests" ]; then $(BIN)/python -m pytest -q -m "not slow" $$tests; else echo "no test covers the changes"; fi

fmt: .venv/.tests ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slow: .venv/.tests ## run the slow tests: thousands of random logs, many kills, mutations
	$(BIN)/python -m pytest -q -n 2 -m slow

lint: .venv/.tests ## run ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.tests ## measure ratios against peers in the same run
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/fraud_speed.py

bench-full: .venv/.tests ## the same at 10, 30 and 100 million records
	$(BIN)/python benchmarks/bench.py --sizes 10000000,30000000,100000000 --rounds 5

clean: ## remove everything that the targets create
	rm -rf .venv $(DEMO) $(DEMO)-training .mypy_cache .ruff_cache .pytest_cache .hypothesis
