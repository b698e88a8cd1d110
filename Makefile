# Two commands for everybody (demo, test) and one for contributors (check).
# Each makes .venv on a fresh machine and installs what it needs with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo

# What a window needs on a machine without a screen, for the tests of napari (Debian and Ubuntu).
WINDOW := xvfb libegl1 libgl1 libgl1-mesa-dri libglx-mesa0 libfontconfig1 libfreetype6 libdbus-1-3 libglib2.0-0 \
  libx11-xcb1 libxcb-cursor0 libxcb-glx0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 \
  libxcb-render-util0 libxcb-shape0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1 libxkbcommon0 \
  libxkbcommon-x11-0

.PHONY: demo test check tour-napari window clean

demo: $(VENV)/.core
	$(BIN)/sam2 demo --out $(OUT)

test: $(VENV)/.test window
	$(BIN)/python -m pytest -q -rs -n auto --dist loadfile

check: $(VENV)/.test window
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	CI=1 $(BIN)/python -m pytest -q -rs -n auto --dist loadfile

# The way of the README through a real window; leaves its pictures, one of which the README shows.
tour-napari: $(VENV)/.test window
	SAM2_TOUR=build/tour/napari CI=1 $(BIN)/python -m pytest -q -rs tests/test_napari_tour.py
	cp build/tour/napari/3-tracked.png docs/napari.png

# Only where apt is and may install; else the tests of the window say what is missing.
window:
	@command -v Xvfb > /dev/null || { command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends $(WINDOW) > /dev/null; } || true

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
