# Everything on a fresh machine with Python (3.11 or later) and make:
#   make demo               the main job on drawn slides: train, evaluate, predict
#   make demo SLIDE=path    your slide, with the model that ships
#   make test               checks and tests
#   make viewer             the browser's part, bundled for this checkout's `extent serve`
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-output
PYTEST := $(BIN)/python -m pytest -n 2

IMAGE ?= extent
# A docker without its engine, as many machines have, does not count
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker build || \
    echo buildah --storage-driver vfs bud --isolation chroot --format docker)

.PHONY: demo test check proofs install viewer image clean

install: $(VENV)/.installed viewer

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Extent needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

VIEWER := service/web
VIEWER_SOURCES := $(filter-out $(VIEWER)/dist $(VIEWER)/node_modules, $(wildcard $(VIEWER)/*)) \
	$(wildcard $(VIEWER)/src/*) hatch_build.py

viewer: $(VIEWER)/dist/index.html

$(VIEWER)/dist/index.html: $(VIEWER_SOURCES) | $(VENV)/.installed
	$(BIN)/python hatch_build.py $(VIEWER)/dist

demo: $(VENV)/.installed
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

# BASE, CUDA and TORCH_INDEX go in with IMAGE_ARGS="--build-arg …": see docker/Dockerfile
image:
	$(ENGINE) --file docker/Dockerfile --tag '$(IMAGE)' $(IMAGE_ARGS) .

clean:
	rm -rf $(VENV) demo-output dist $(VIEWER)/dist .mypy_cache .pytest_cache .ruff_cache
