# Everything a new machine needs is Python 3.11 or 3.12 (venv, pip) and make; the rest lives in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
UV_VERSION := 0.13.9
BIN := .venv/bin
UV := VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv
DEMO := demo
BASE ?= main
QUESTION := select day, kind, sum(leakage) leakage from leakage_by_day group by all order by leakage desc limit 5
export UV_NO_PROGRESS := 1
# A home that cannot be written has no place for a cache.
export UV_CACHE_DIR ?= $(shell d="$${XDG_CACHE_HOME:-$$HOME/.cache}/uv"; mkdir -p "$$d" 2>/dev/null && test -w "$$d" && echo "$$d" || echo "$(CURDIR)/.venv/.cache")

.DEFAULT_GOAL := help
.PHONY: help run workbench demo-stream docs pictures wheel test one check fmt slow lint bench bench-full clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null || \
		{ echo "trueup needs Python 3.11 or 3.12, and $(PYTHON) is not one; name one: make $(or $(firstword $(MAKECMDGOALS)),run) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

SYNC := $(UV) sync --frozen --active --inexact --quiet --compile-bytecode
.venv/.runs: $(BIN)/uv uv.lock pyproject.toml
	$(SYNC) --no-dev --extra batch --extra quality --extra fraud
	@touch $@

.venv/.page: $(BIN)/uv uv.lock pyproject.toml
	$(SYNC) --no-dev --extra batch --extra quality --extra fraud --extra workbench
	@touch $@ .venv/.runs

.venv/.streams: $(BIN)/uv uv.lock pyproject.toml
	$(SYNC) --no-dev --extra batch --extra quality --extra fraud --extra workbench --extra stream
	@touch $@ .venv/.runs .venv/.page

.venv/.tests: $(BIN)/uv uv.lock pyproject.toml
	$(SYNC) --extra batch --extra stream --extra quality --extra fraud --extra workbench --extra pictures --extra evidence --extra notify --group docs
	@touch $@ .venv/.runs .venv/.page .venv/.streams

run: .venv/.runs ## set up, then reconcile and score a small simulated operator: one screen of results
	@$(MAKE) --no-print-directory $(DEMO)/.promoted
	@$(BIN)/trueup run --accept-clock --project $(DEMO)
	@echo
	@$(BIN)/trueup score-controls --brief --project $(DEMO)
	@echo
	@echo "open the page:   make workbench"
	@echo "ask a question:  $(BIN)/trueup sql --project $(DEMO) '$(QUESTION)'"

workbench: .venv/.page ## open the web page with the operator of `make run` in it
	@test -f $(DEMO)/leakage.duckdb || $(MAKE) --no-print-directory run
	@$(BIN)/trueup workbench --project $(DEMO)

demo-stream: .venv/.streams ## deliver an operator's files one by one to `ingest --watch`, `stream` and the page
	@$(BIN)/python examples/streaming/land_files.py $(DEMO)-stream

# A folder takes its name when it is complete, so an interrupted simulation begins again.
$(DEMO)/trueup.toml: | .venv/.runs
	@rm -rf $(@D).part
	@$(BIN)/trueup simulate $(@D).part --subscribers 400 --days 7 --seed 7 >/dev/null
	@test ! -e $(@D) || { echo "$(@D) exists without a trueup.toml; remove it" >&2; exit 1; }
	@mv $(@D).part $(@D)

$(DEMO)/.ingested: $(DEMO)/trueup.toml
	@$(BIN)/trueup ingest --accept-clock --project $(DEMO) >/dev/null
	@touch $@

# The model that comes with the program was trained on other simulated operators.
$(DEMO)/.promoted: $(DEMO)/.ingested
	@$(BIN)/trueup promote starter --since 0 --accept-clock --project $(DEMO) >/dev/null
	@touch $@

docs: .venv/.tests ## build the documentation site into site/, and fail on any warning
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html, or run $(BIN)/mkdocs serve"

pictures: .venv/.tests ## draw the results of `make run` and its page for the README
	@test -f $(DEMO)/leakage.duckdb || $(MAKE) --no-print-directory run
	@$(BIN)/python docs/generate/pictures.py $(DEMO)

wheel: $(BIN)/uv ## build the wheel into dist/
	@$(BIN)/uv build --quiet --wheel --out-dir dist

# Two processes, each on a core of its own: where threads of one small query are on two cores, that costs up to a third of the time.
PYTEST = $(BIN)/python -m pytest -q -n 2 --dist worksteal --core-each --durations 25

# One thread of Polars is the fastest here; `make slow` tests with two.
test: .venv/.tests ## set up and run the tests
	POLARS_MAX_THREADS=1 $(PYTEST) -m "not slow"

one: .venv/.tests ## run one test file or test: make one T=tests/log/test_lake.py
	$(BIN)/python -m pytest -q -x $(T)

check: .venv/.tests lint ## check style and types, and test what changed since the branch left BASE (main)
	@tests="$$($(BIN)/python tests/changed.py $(BASE))"; \
	if [ -n "$$tests" ]; then $(BIN)/python -m pytest -q -m "not slow" $$tests; else echo "no test covers the changes"; fi

fmt: .venv/.tests ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slow: .venv/.tests ## run the slow tests: thousands of random logs, many kills, mutations
	POLARS_MAX_THREADS=2 $(PYTEST) -m slow

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
	rm -rf .venv site dist $(DEMO) $(DEMO)-stream *.outbox *.part .mypy_cache .ruff_cache .pytest_cache .hypothesis
