# make book             set everything up, run the default study, build its book
# make book STUDY=quick the same for another study: a file, or the name of one in studies/
# make bench            measure attribution against other packages; BENCH=rules measures scoring, BENCH=power simulates studies
# make help             all commands
SHELL := /bin/bash
PYTHON ?= python3
STUDY ?= embedded
BENCH ?= attribution
CORES ?=
PIP_ARGS ?=
RUNGS ?=
LADDER_ARGS ?=
LAB_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help book test check bench workshop browser pdf bundle release ladder lab lock test-slurm kills audit clean distclean setup
.DELETE_ON_ERROR:

help: ## show this list
	@echo "Usage: make COMMAND [STUDY=name or file] [CORES=n] [PYTHON=python3.12] [PIP_ARGS=...]"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12 | sed 's/^/  /'

book: known $(STAMP) ## run a study and build its book (STUDY=embedded by default; STUDY=quick takes some 10 minutes)
	@$(BIN)/compliance-xai study run "$(STUDY)" $(if $(CORES),--cores $(CORES))
	@$(BIN)/compliance-xai book build "$(STUDY)"

.PHONY: known
known: # a misspelt study is noticed before anything is set up
	@test -f "$(STUDY)" -o -f "studies/$(STUDY).yaml" || { echo "There is no study '$(STUDY)'. The studies here are:" \
		$(basename $(notdir $(wildcard studies/*.yaml))) >&2; exit 2; }

test: $(STAMP) ## run all tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slurm: $(STAMP) ## run a small study on a real SLURM of one node: killed, resumed, compared (installs SLURM)
	@$(BIN)/python -m pytest tests/cluster/test_slurm.py -p no:cacheprovider --no-header

kills: $(STAMP) ## kill a small run at random moments, KILLS=50 times, and compare its results (an hour)
	@$(BIN)/python -m pytest tests/cluster/test_kills.py -s -p no:cacheprovider --no-header

audit: $(STAMP) ## list the licences of the pinned packages, and the advisories that name one
	@$(BIN)/python scripts/dependencies.py licences
	@$(BIN)/python scripts/dependencies.py audit

check: lint test ## what CI asks for: format, lint, types, rooms, tests

.PHONY: lint
lint: $(STAMP) ## format, lint, types and the rule of rooms, without tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

workshop: $(STAMP) ## execute the lessons with their solutions; the next book shows them
	@$(BIN)/compliance-xai workshop run

pdf: $(STAMP) ## print the built book to dist/, with bookmarks (needs Chromium)
	@$(BIN)/compliance-xai book pdf

bundle: $(STAMP) ## write the built book as one HTML file to dist/
	@$(BIN)/compliance-xai book bundle

release: $(STAMP) ## write HTML, one file, PDF, result tables and SHA256SUMS of a finished study to dist/
	@$(BIN)/compliance-xai book release "$(STUDY)"

bench: $(STAMP) ## measure BENCH=attribution (minutes; beside captum and shap), rules or machinery; BENCH=power simulates studies
	@$(BIN)/python benchmarks/$(BENCH).py $(BENCH_ARGS)

browser: $(STAMP) ## open every page of the built book in headless Chromium, offline
	@$(BIN)/python -m pytest tests/browser -n 2 -p no:cacheprovider --no-header

ladder: $(STAMP) ## pre-train the embedded ladder from scratch (hours), or rungs of it: RUNGS="12m 30m"
	@$(BIN)/python scripts/ladder/pretraining.py $(LADDER_ARGS) $(RUNGS)

lab: $(STAMP) ## open JupyterLab (LAB_ARGS=...): the lessons as handouts, and the notebooks, which are text
	@$(BIN)/python -m pip install -q --constraint requirements.lock jupyterlab==4.6.6
	@$(BIN)/compliance-xai workshop handouts
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@cp scripts/jupyterlab.json $(VENV)/share/jupyter/lab/settings/overrides.json
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

lock: $(STAMP) ## write requirements.lock from the environment as it is
	@$(BIN)/python -m pip freeze --all --exclude-editable 2>/dev/null \
		| grep -vE '^pip==' | sed 's/+cpu$$//' | LC_ALL=C sort -f > requirements.lock

setup: $(STAMP) ## create the environment only

clean: ## remove results, executed notebooks and the built book; the environment stays
	rm -rf results _build book/runs dist .snakemake .pytest_cache .ruff_cache .hypothesis .import_linter_cache

distclean: clean ## remove the environment too
	rm -rf $(VENV)

# The stamp holds the sums of what the environment was made from, so an unchanged one is ready at once and a
# touched but unchanged file reinstalls nothing.
SUMS := $(shell cat requirements.lock pyproject.toml 2>/dev/null | cksum)
ifneq ($(SUMS),$(shell cat $(STAMP) 2>/dev/null))
.PHONY: $(STAMP)
endif
$(STAMP):
	@PYTHON="$(PYTHON)" VENV="$(VENV)" PIP_ARGS="$(PIP_ARGS)" bash scripts/setup.sh
	@echo "$(SUMS)" > $(STAMP)
