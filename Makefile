# Everything runs in .venv, made from requirements.lock; PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
EXPERIMENT ?= shop
PORT ?= 5000
BENCH ?=
BUNDLE ?=
PROCESSES ?= 2
# TORCH=cpu takes PyTorch's CPU build instead of the one with CUDA, from PyTorch's own index.
TORCH ?=
UV_VERSION := 0.13.9
STAMP := .venv/.installed-$(if $(TORCH),$(TORCH),default)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help install train test lint serve mlflow elasticsearch experiments reproduce bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP) ## set up .venv from requirements.lock (TORCH=cpu for the CPU build of PyTorch)

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; set PYTHON=python3.11 or later" >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): requirements.lock pyproject.toml | .venv/bin/uv
ifeq ($(TORCH),cpu)
	awk 'BEGIN { RS = "\n"; skip = 0 } /^[a-z]/ { skip = /^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)(==|\[)/ } !skip' requirements.lock > .venv/requirements-cpu.lock
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --require-hashes --no-deps -r .venv/requirements-cpu.lock
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --torch-backend cpu "$$(grep -oE '^torch==[0-9.]+' requirements.lock)"
else
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --require-hashes -r requirements.lock
endif
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --no-deps --no-build-isolation -e .
	@rm -f .venv/.installed-* && touch $@

train: install ## train an experiment: make train EXPERIMENT=msrd
	@.venv/bin/ltr train $(EXPERIMENT)

test: install ## run the tests, in PROCESSES=2 at once
	.venv/bin/pytest -n $(PROCESSES) --dist loadfile

lint: install ## ruff and mypy --strict
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Bundles are named for their experiment and the time; the newest of the demo shop's is served.
DEMOS = ls -d bundles/demo-[0-9]* bundles/shop-[0-9]* 2>/dev/null | sort -t- -k2 | tail -1

serve: install ## the demo shop over HTTP, with a page to try it at (PORT=8080); trains a small one first where there is none
	@[ -n "$(BUNDLE)$$($(DEMOS))" ] || .venv/bin/ltr train demo
	@bundle="$(BUNDLE)"; exec .venv/bin/ltr serve "$${bundle:-$$($(DEMOS))}" $(if $(filter file,$(origin PORT)),,--port $(PORT))

mlflow: install ## the MLflow UI over what was tracked (PORT=5000)
	@echo "http://127.0.0.1:$(PORT) in half a minute; choose 'Model training' at the top left"
	MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db --port $(PORT)

elasticsearch: install ## start a private Elasticsearch in the background (PORT=9200); needs Java 17 and Maven
	@.venv/bin/ltr elasticsearch start $(if $(filter file,$(origin PORT)),,--port $(PORT))

experiments: install ## list the experiments with their last results
	@.venv/bin/ltr experiments

reproduce: install ## run every experiment again and check its expected figures
	@.venv/bin/ltr reproduce

bench: install ## measure speed and memory beside their peers (BENCH="startup training" for some)
	@.venv/bin/python experiments/bench $(BENCH)

lock: .venv/bin/uv ## compile requirements.lock anew (after a change of pyproject.toml)
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --all-extras --python-version 3.11 --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## remove what commands have built (bundles and tracked runs stay)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
