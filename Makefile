# make demo   sets up and runs the main job; make test sets up and passes the tests
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
OUT ?= twinsplit-out/demo
WORKERS ?= 2
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check format bench clean

# both run at 256 open files, the least that common shells allow, so that nobody's limit is the first to be met
demo: $(VENV)/.demo
	ulimit -Sn 256 && $(VENV)/bin/twinsplit quickstart --out $(OUT)

test: $(VENV)/.test
	ulimit -Sn 256 && $(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

check: $(VENV)/.dev
	$(VENV)/bin/ruff check src tests benchmarks docs/tutorials
	$(VENV)/bin/ruff format --check src tests benchmarks docs/tutorials
	$(VENV)/bin/mypy

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix src tests benchmarks docs/tutorials
	$(VENV)/bin/ruff format src tests benchmarks docs/tutorials

bench: $(VENV)/.test
	$(VENV)/bin/python benchmarks/run.py --plot twinsplit-bench-growth.png
	$(VENV)/bin/python benchmarks/gtv.py
	$(VENV)/bin/python benchmarks/onset_coverage.py
	$(VENV)/bin/python benchmarks/images.py
	$(VENV)/bin/python benchmarks/duplicates.py

clean:
	rm -rf $(VENV) twinsplit-out

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11' >&2; exit 2)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable '.[dev]'
	@touch $@
