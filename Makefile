# The front door. Every target sets up what it needs; nothing relies on what the machine happens to have
# beyond Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests and examples need pinned, hashed dependencies; PyTorch's CPU build is installed by pip on its own.
TORCH := torch==2.13.0

.PHONY: run test conformance check bench generate lock setup setup-torch clean help
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/setup.stamp: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "springtide needs Python 3.11 or newer; found $$($(PYTHON) --version)"; echo; \
	  echo "hint: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/torch.stamp: $(VENV)/setup.stamp
	@echo "installing PyTorch for the training example (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

setup: $(VENV)/setup.stamp ## the virtual environment with everything pinned

setup-torch: $(VENV)/torch.stamp ## the same with PyTorch

run: $(VENV)/torch.stamp ## the main job: a distributed training job on real data through the whole path
	@$(BIN)/python examples/digits/run.py

test: $(VENV)/torch.stamp ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

conformance: $(VENV)/setup.stamp ## cases of API behaviour, one row of counts; with KUBEBUILDER_ASSETS on a real kube-apiserver
	@$(BIN)/python -m tests.conformance

check: $(VENV)/setup.stamp ## lint, types, import contract, generated files, docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m springtide.api.crds --check
	@$(BIN)/python -m springtide.cli.reference --check
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python -m pytest -p no:cacheprovider tests/repository

generate: $(VENV)/setup.stamp ## regenerate CRDs and reference pages
	@$(BIN)/python -m springtide.api.crds --write
	@$(BIN)/python -m springtide.cli.reference --write
	@$(BIN)/python docs/generate.py --write

bench: $(VENV)/torch.stamp ## all benchmarks, one JSON object a row
	@for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

lock: $(VENV)/setup.stamp ## pin dependencies anew, with hashes and without any index address
	@for kind in core dev; do \
	  extras=$$([ $$kind = dev ] && echo "--extra dev --extra examples"); \
	  $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header $$extras pyproject.toml -o requirements/$$kind.txt; done

clean: ## remove the virtual environment and all caches
	rm -rf $(VENV) .springtide .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
