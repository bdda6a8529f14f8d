# make demo   train, evaluate and report on MovieLens-100K (see README)
# make test   the tests, in under 15 minutes on two cores
# Either sets up .venv first; `make setup` does nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: setup setup-all demo test test-all lint bench clean

setup: .venv/setup-done
setup-all: .venv/setup-all-done

.venv/setup-done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

.venv/setup-all-done: .venv/setup-done
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,export,jax,torch]"
	@touch $@

demo: setup
	$(BIN)/recsys demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not all"

test-all: setup-all
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs build dist
