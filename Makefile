# Everything on a fresh machine with Python (3.11 or later) and make:
#   make demo               the main job on drawn slides: train, evaluate, predict
#   make demo SLIDE=path    your slide, with the model that ships
#   make test               checks and tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-output
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: demo test check proofs install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Extent needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
ifdef SLIDE
	$(BIN)/extent predict '$(SLIDE)' --model breast-idc --out '$(OUT)' $(ARGS)
else
	$(BIN)/extent demo --out '$(OUT)' $(ARGS)
endif

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(PYTEST) -m 'not slow'

# The slow proofs: kills, memory, the gate of the drawn slides, the demo, the wheel
proofs: install
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) demo-output dist .mypy_cache .pytest_cache .ruff_cache
