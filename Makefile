# Everything starts from a fresh clone: each target makes .venv when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fuzz lint bench install clean

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

TIME ?= 60
fuzz: install  ## damaged files for every reader, for TIME seconds
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --seconds $(TIME) --findings runs/findings --record runs/fuzz.json

lint: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmarks/.venv/.ready: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install -q -r $<
	touch $@

benchmarks/.venv-litgpt/.ready: benchmarks/requirements-litgpt.txt
	$(PYTHON) -m venv benchmarks/.venv-litgpt
	benchmarks/.venv-litgpt/bin/python -m pip install -q -r $<
	touch $@

bench: install benchmarks/.venv/.ready benchmarks/.venv-litgpt/.ready  ## every table against its peers, about an hour
	$(BIN)/rung bases get smollm2-135m-instruct
	@failed=; for table in benchmarks/table_*.py benchmarks/ablation.py benchmarks/profiles.py; do \
		echo "$$table"; $(BIN)/python $$table || failed="$$failed $$table"; \
	done; \
	$(BIN)/python benchmarks/render.py; \
	test -z "$$failed" || { echo "not measured:$$failed"; exit 1; }

clean:
	rm -rf $(VENV) runs
