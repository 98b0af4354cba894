# Trine's developer commands. `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types unit axe format collections soak lighthouse reference evaluate screenshots clean

help: ## List the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Make .venv with pinned dependencies

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## Index the Python standard library's documentation and serve it on port 8080
	$(BIN)/trine demo

test: setup lint types unit ## Lint, types and tests: what CI runs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# In their own order: by default the files with the fewest tests, which take longest, come last.
unit: setup axe
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25 -m "not collections and not soak and not lighthouse"

# Optional: where npm is missing, or its registry, the test that needs axe-core skips and says so.
axe: tests/axe/node_modules/.package-lock.json

tests/axe/node_modules/.package-lock.json: tests/axe/package-lock.json
	@if command -v npm > /dev/null; then npm ci --no-audit --no-fund --silent --prefix tests/axe \
	  || echo "npm could not install axe-core: its test will be skipped"; fi

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

collections: setup ## Relevance over the public collections in $TRINE_COLLECTIONS
	$(BIN)/pytest -m collections -s

soak: setup ## Long fault, fuzz and load runs
	$(BIN)/pytest -m soak -s

lighthouse: setup ## Measure the pages by Lighthouse, how soon keystrokes are painted, how a large map moves (needs npm)
	npm ci --no-audit --no-fund --silent --prefix tests/lighthouse
	$(BIN)/pytest -m lighthouse -s

reference: setup ## Write API.md from the API's contract
	$(BIN)/python -m search_api.reference > API.md

evaluate: setup ## Relevance and latency on the judged demo queries
	$(BIN)/trine evaluate corpora/python_stdlib

screenshots: setup ## Take the README's screenshots (needs Chromium and make demo's index)
	$(BIN)/python web/screenshots/take.py

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
