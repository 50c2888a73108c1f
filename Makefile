# The whole workflow. Every target makes the virtual environment it needs, once, and again when
# pyproject.toml changes. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
# What the application needs, and what working on the project needs on top.
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
# What tests and benchmark compare with has environments of its own: the other clients, and the original.
BENCH := .venv-bench
BENCH_READY := $(BENCH)/.ready-bench
ORIGINAL := .venv-memphis-py
ORIGINAL_READY := $(ORIGINAL)/.ready-memphis-py
ORIGINAL_NODE := .node-memphis-dev
ORIGINAL_NODE_READY := $(ORIGINAL_NODE)/.ready

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo serve test check format bench chaos chaos-dead-letters flights clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN_READY) ## Stream a week of real flights through a broker and count every one
	@$(BIN)/memphis demo

serve: $(RUN_READY) ## Start a broker on 127.0.0.1:6666 (options: make serve ARGS="--port 7777")
	@$(BIN)/memphis serve $(ARGS)

# Byte-code is kept: hundreds of brokers and commands would each compile the project anew.
test: $(DEV_READY) $(ORIGINAL_READY) $(ORIGINAL_NODE_READY) ## Run all tests against a real engine (one file: make test ARGS=tests/tidy)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest --quiet --numprocesses 3 --dist loadfile $(ARGS)

check: $(DEV_READY) ## Lint, format, types and layers, without changing a file
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "some files are not formatted: run 'make format'"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >$(VENV)/lint-imports.txt 2>&1 || { cat $(VENV)/lint-imports.txt; exit 1; }
	@echo "lint, format, types and layers are clean"

format: $(DEV_READY) ## Format all files and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(BENCH_READY) $(ORIGINAL_READY) ## Measure this SDK beside its peers; some 15 minutes (ARGS=--help)
	@$(BENCH)/bin/python benchmarks/run.py $(ARGS)

chaos: $(DEV_READY) ## Stream a year of flights while broker and engine are killed
	@$(BIN)/python -m tests.chaos.flights $(ARGS)

chaos-dead-letters: $(DEV_READY) ## Follow each message of failing groups while brokers are killed
	@$(BIN)/python -m tests.chaos.dead_letters $(ARGS)

flights: chaos

clean: ## Remove the virtual environment and all caches
	@rm -rf $(VENV) $(BENCH) $(ORIGINAL) $(ORIGINAL_NODE) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_READY): pyproject.toml .ci/make-venv
	@.ci/make-venv $(VENV) run

$(DEV_READY): pyproject.toml .ci/make-venv
	@.ci/make-venv $(VENV) dev

$(BENCH_READY): pyproject.toml .ci/make-venv
	@.ci/make-venv $(BENCH) bench

# Without it tests and benchmark still run, and say what they leave out.
$(ORIGINAL_READY): $(DEV_READY)
	@.ci/make-venv $(ORIGINAL) memphis-py $(VENV) || echo "memphis-py 1.3.1 could not be installed"

# The original's SDK for Node; underscore it needs and does not name. Without npm one test is left out.
$(ORIGINAL_NODE_READY): Makefile
	@mkdir -p $(ORIGINAL_NODE)
	@if command -v npm >/dev/null; then \
		echo "installing memphis-dev 1.3.2"; \
		npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock \
			--prefix $(ORIGINAL_NODE) memphis-dev@1.3.2 'underscore@^1' >/dev/null || \
			echo "memphis-dev 1.3.2 could not be installed"; \
	else echo "there is no npm: memphis-dev 1.3.2 is not installed"; fi
	@touch $@
