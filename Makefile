# make demo   train, evaluate and report on MovieLens-100K (see README)
# make test   the tests, about 18 minutes on two idle cores
# Each first installs what it needs into .venv; `make setup` does nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TESTED := 3.11
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt --editable

.PHONY: setup setup-all demo test test-changed test-all lint bench clean
.PHONY: attack attack-generate attack-kill attack-soak attack-mutations attack-runs

setup: .venv/dev-done
setup-all: .venv/all-done

.venv/core-done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; v in "$(TESTED)".split() or sys.exit("recsys is tested on Python $(TESTED). Received: " + v + "; make PYTHON=... names another one")'
	$(PYTHON) -m venv .venv
	$(INSTALL) .
	@touch $@

.venv/dev-done: .venv/core-done
	$(INSTALL) ".[dev]"
	@touch $@

.venv/all-done: .venv/dev-done
	$(INSTALL) ".[dev,export,jax,torch,spark,slow]"
	@touch $@

demo: .venv/core-done
	$(BIN)/recsys demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not all"

# What the diff since a commit touches: `make test-changed SINCE=main`.
test-changed: setup
	$(BIN)/python -m pytest -p tests.changed --since $(or $(SINCE),HEAD) -n 2 --dist loadgroup -m "not all"

test-all: setup-all
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# What takes hours: drawn inputs, kills at random moments, an hour of use in one process.
# `make -k -j2 attack` does two of them at a time, and all of them if one fails.
attack: attack-generate attack-kill attack-soak attack-mutations attack-runs

attack-generate: setup-all
	$(BIN)/python -m tests.generate --legal 2000 --corrupt 10000

attack-kill: setup-all
	$(BIN)/python -m tests.kill --kills 200

attack-soak: setup-all
	$(BIN)/python benchmarks/soak.py --minutes 60

attack-mutations: setup-all
	$(BIN)/python -m tests.mutations

attack-runs: setup-all
	$(BIN)/python -m tests.kill_runs --kills 20

# The comparisons of speed, about an hour; DATA is a folder with `frappe_x1`, if any.
bench: .venv/bench-done .bench/torch/done .bench/tf215/done
	$(BIN)/python benchmarks/run.py $(if $(DATA),--data $(DATA))

.venv/bench-done: .venv/dev-done
	$(INSTALL) ".[dev,ann,export,bench]"
	@touch $@

.bench/torch/done:
	$(PYTHON) -m venv .bench/torch
	.bench/torch/bin/pip install --quiet torch==2.13.0 fuxictr==2.3.10 fbgemm-gpu-cpu==1.8.0
	@touch $@

.bench/tf215/done:
	$(PYTHON) -m venv .bench/tf215
	.bench/tf215/bin/pip install --quiet tensorflow==2.15.1 deep-rec-kit==1.0.2 deepctr==0.9.4
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .bench demo runs build dist
