# Everything a newcomer or CI runs. VENV may be shared between checkouts: make demo VENV=~/venv
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.pamm-installed
NATIVE := src/pamm/native/_native.so
# This checkout's source first, also when the environment belongs to another one.
export PYTHONPATH := $(CURDIR)/src
PAMM := $(BIN)/python -m pamm

.PHONY: help setup native demo test sanitize lint format types imports bench gpu-wheels gpu-check check clean

help:
	@echo "make setup      create $(VENV) and install the package with its development tools"
	@echo "make native     compile the scan in this checkout"
	@echo "make demo       train a small model on rendered rooms, evaluate it, predict on a photograph"
	@echo "make test       the test suite"
	@echo "make sanitize   the compiled library's tests under the checks of memory and of undefined behaviour"
	@echo "make check      what CI runs: lint, types, imports, tests"
	@echo "make bench      measure, side by side with what was replaced"
	@echo "make gpu-check  whether everything works on this machine's GPU, and its memory; see benchmarks/README.md"
	@echo "make gpu-wheels what gpu-check needs, for a machine without network"
	@echo "make format     let ruff format and fix"
	@echo "make clean      remove build and run artefacts"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pamm wants Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@echo "Installing into $(VENV): PyTorch and the rest, some minutes and 6 GB the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Without a C++ compiler one line says so, and everything goes on with the scan in PyTorch.
BUILD_NATIVE = @$(BIN)/python setup.py -q build_ext --inplace

native: $(INSTALLED)
	$(BUILD_NATIVE)

$(NATIVE): setup.py $(wildcard src/pamm/native/*.cpp src/pamm/native/*.inc) | $(INSTALLED)
	$(BUILD_NATIVE)

demo: $(INSTALLED) $(NATIVE)
	$(PAMM) train synthetic-tiny --out $(OUT) --resume
	$(PAMM) evaluate $(OUT) --trivial
	$(BIN)/python examples/demo_images.py $(OUT)/images
	$(PAMM) predict $(OUT) $(OUT)/images --out $(OUT)/predictions
	@echo
	@echo "The model is in $(OUT), its pictures are in $(OUT)/predictions: open a photograph's overview.png"
	@echo "Now your own: $(BIN)/pamm predict $(OUT) YOUR_IMAGE.jpg --out somewhere"

test: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

# The library is built with GCC's checks in a folder of its own. Python itself is built without them, so
# their runtime, and that of C++, come before everything else; what Python leaks is its own affair.
CHECKS := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined

sanitize: $(INSTALLED)
	@command -v g++ > /dev/null || { echo "make sanitize wants g++, which was not found"; exit 1; }
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	cp -r src setup.py pyproject.toml README.md LICENSE NOTICE "$$folder"; \
	(cd "$$folder" && CXX=g++ CXXFLAGS="$(CHECKS)" $(abspath $(BIN))/python setup.py -q build_ext --inplace); \
	export LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)"; \
	export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH="$$folder/src"; \
	$(BIN)/python -c 'import sys; from pamm import native; sys.exit(native.problem() or 0)'; \
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/ops/test_cpu.py tests/metrics/test_boundary.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

bench: $(INSTALLED) $(NATIVE)
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/head.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/boundary.py
	$(PAMM) bench scan --growth --out bench-scan.json

# For a machine that has PyTorch, Triton, timm and Lightning, but neither network nor compiler.
# GPU_PYTHON=3.12: that machine's version of Python on Linux, where this one is of another kind.
WHEELS ?= wheels
GPU_PYTHON ?=
GPU_OUT ?= gpu-check
GPU_NEEDS ?= filelock huggingface_hub matplotlib numpy pillow rich safetensors scipy tensorboard tyro
GPU_TAGS := $(foreach n,_2_28 _2_27 _2_24 _2_17 2014 1,manylinux$(n)_x86_64)
GPU_FOR = $(if $(GPU_PYTHON),--python-version $(GPU_PYTHON) $(foreach tag,$(GPU_TAGS),--platform $(tag)))

gpu-wheels:
	$(PYTHON) -m pip download --only-binary=:all: --dest $(WHEELS) $(GPU_FOR) $(GPU_NEEDS)
	$(PYTHON) -m pip download --only-binary=:all: --dest $(WHEELS) $(GPU_FOR) --no-deps lightning-fabric lightning-utilities

# The environment has all that its Python has, also where that is a virtual environment itself. What
# is there already is not installed.
gpu-check:
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv --without-pip "$$folder"; \
	$(PYTHON) -c 'import site, sys; print(*site.getsitepackages(), site.getusersitepackages(), sep="\n")' \
		> "$$("$$folder/bin/python" -c 'import site; print(site.getsitepackages()[0])')/caller.pth"; \
	test ! -d "$(WHEELS)" || "$$folder/bin/python" -m pip install --quiet --no-index \
		--find-links "$(WHEELS)" $(GPU_NEEDS) lightning-fabric; \
	"$$folder/bin/python" benchmarks/gpu_check.py --out "$(GPU_OUT)"

check: lint types imports test

clean:
	rm -rf build dist src/*.egg-info src/pamm/native/_native.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
