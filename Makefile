# Everything is installed into the checkout: .uv holds uv, .venv the environment, .riftline the data.
UV := .uv/bin/uv
BIN := .venv/bin
PYTHON ?= python3
# Never let uv fetch an interpreter of its own, nor Ray ship the checkout because uv started it.
export UV_PYTHON_DOWNLOADS := never
export RAY_ENABLE_UV_RUN_RUNTIME_ENV := 0

# Run beside one another: mostly they wait for their own servers. What starts Ray is one, so that there is one cluster.
GROUPS := tests-integration+e2e tests-contract tests-unit

.DEFAULT_GOAL := help
.PHONY: help install peers servers-fetch servers demo stop test check contract faults docs format lock bench-serving bench-ensemble bench-stores clean $(GROUPS)

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Riftline needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/installed: $(UV) requirements/all.txt pyproject.toml
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/all.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

install: .venv/installed ## Install everything into the checkout

.peers/installed: $(UV) requirements/peers.txt
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .peers
	$(UV) pip sync --quiet --compile-bytecode --python .peers/bin/python --require-hashes requirements/peers.txt
	@touch $@

peers: .peers/installed ## Install the models that `riftline evaluate --peers` compares with (gigabytes: torch)

demo: install ## From match files to a served prediction (RIFTLINE_DATA=PATH for real data)
	$(BIN)/riftline up
	$(BIN)/riftline predict

stop: ## Stop what `make demo` left running
	@if [ -x $(BIN)/riftline ]; then $(BIN)/riftline down; fi

check: install ## Formatting, lint, types and the import picture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check servers-fetch ## Install everything and run every check and test
	@$(MAKE) --no-print-directory --jobs 3 $(GROUPS)

$(GROUPS): tests-%: install
	$(BIN)/pytest $(addprefix tests/,$(subst +, ,$*))

servers-fetch: install ## Get the real servers that tests start (Debian packages as root, the rest into .servers)
	$(BIN)/python -m tests.servers --fetch || test -z "$$CI"

servers: install ## Start every real server on 127.0.0.1 until Ctrl-C and print the variables that lead to them
	@$(BIN)/python -m tests.servers

contract: install servers-fetch ## Run every contract over every implementation and print the matrix
	$(BIN)/pytest tests/contract -q

faults: install servers-fetch ## Kill servers and writers 125 times in the middle of writing and compare the books
	$(BIN)/python -m tests.faults --kills 25

docs: install ## Write the tables of docs/stores.md again from the code
	$(BIN)/python -m tests.store_tables

format: install ## Format and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(UV) ## Compile the locks again from pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --extra dev --extra mlflow pyproject.toml -o requirements/all.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 requirements/peers.in -o requirements/peers.txt

bench-ensemble: install ## Measure compiled trees beside xgboost and ONNX Runtime
	$(BIN)/python -m benchmarks.ensemble

bench-serving: install ## Measure the running gateway: rate, latency, batches, overload, kills
	$(BIN)/python -m benchmarks.gateway

bench-stores: install servers-fetch ## Measure every store beside its naive use
	$(BIN)/python -m benchmarks.stores

clean: stop ## Remove the environment and all data
	rm -rf .uv .venv .peers .riftline .servers
