# make demo: set up and train the demo, print its score and where the report is.
# make test: set up and run every check and test but the slow ones; make test-slow runs those.
# make audit: ask a public list of vulnerabilities about every version in constraints.txt; needs a network.
# Each sets up once and is quick the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DESCRIPTIONS := pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml examples/*/pyproject.toml)

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test test-slow check setup audit clean

setup: $(READY)

$(READY): $(DESCRIPTIONS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable '.[dev]' --editable 'plugins/nlp[demo,explain]' --editable 'plugins/vision[demo]' --editable 'plugins/healthcare[demo,test]' \
		--editable 'examples/headstart-protein[demo]'
	touch $@

demo: $(READY)
	$(BIN)/headstart run recipes/nlp/sentiment.yaml

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m 'not slow'

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m slow

audit:
	test -x build/audit/bin/python || $(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
