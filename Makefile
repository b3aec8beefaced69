# Everything starts from a fresh clone: each target makes .venv when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint install clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

install: $(VENV)/.ready  ## the environment

demo: install  ## climb the ladder on examples/helpdesk
	$(BIN)/rung bases get smollm2-135m-instruct
	$(BIN)/rung climb examples/helpdesk/messages.csv --budget 6m --output runs/helpdesk

test: install  ## the whole test suite
	$(BIN)/rung bases get smollm2-135m-instruct
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs
