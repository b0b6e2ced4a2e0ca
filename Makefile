# make demo · make test: each sets up everything on a machine with Python 3.11, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.installed
WORKERS ?= auto
export MPLBACKEND := Agg

.PHONY: demo test lint docs figures clean
.DEFAULT_GOAL := demo

# Which pixels does a CNN, and which does a Transformer, need to see depth?
demo: $(READY)
	$(BIN)/depthprobe run --model zoo:convnext --model zoo:pvt --probe error --probe sparse --fill mean --fill blur --dataset scenes --n 64 --out out/demo

test: lint
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The site, into site/: a warning is an error, and nothing is fetched.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Every study again; DEPTHPROBE_NYU=FOLDER adds the real images.
figures: $(READY)
	set -e; for study in $(basename $(notdir $(wildcard analyses/a[0-9]*.py))); do $(BIN)/python -m analyses.$$study; done

clean:
	rm -rf out site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Expected python3.11 or newer on the PATH, but found none; install it."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Expected Python 3.11 or newer; set PYTHON."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $(READY)
