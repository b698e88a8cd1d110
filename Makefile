# Two commands for everybody (demo, test) and one for contributors (check).
# Each makes .venv on a fresh machine and installs what it needs with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo

.PHONY: demo test check clean

demo: $(VENV)/.core
	$(BIN)/sam2 demo --out $(OUT)

test: $(VENV)/.test
	$(BIN)/python -m pytest -q -rs -n auto --dist loadfile

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	CI=1 $(BIN)/python -m pytest -q -rs -n auto --dist loadfile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Editable, so that the commands always run the code of this checkout.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) out build dist
