# Two commands matter: `make book` and `make test`. `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# TORCH=cpu: no CUDA, about 2 GB instead of 7; by a lock of its own, which is made where it is missing.
TORCH ?=
BIN := .venv/bin
READY := .venv/.ready
LOCK := $(if $(filter cpu,$(TORCH)),requirements-cpu.lock,requirements.lock)
SIZE := $(if $(filter cpu,$(TORCH)),2,7)
$(if $(filter-out cpu,$(TORCH)),$(error TORCH = $(TORCH) is not known; give TORCH=cpu, or leave it out))
CHAPTERS := $(patsubst book/%.py,%,$(wildcard book/*.py))
EXECUTED := $(CHAPTERS:%=_build/executed/%.ipynb)
SOURCES := $(shell find bioadv -name "*.py") tools/notebooks.py
RESULTS := $(shell find results -name '*.npz' -o -name '*.json' 2>/dev/null)

# The study that `make paper` runs: which one, where, and, if not all of it, which seeds and models.
CONFIG ?= cifar10
PROFILE ?= workstation
CORES ?=
SEEDS ?=
MODELS ?=
OUT ?=
RETRAIN ?=
OPTIONS ?=

# Threads that wait for others sleep instead of spinning: much faster on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE
# WORKERS=2: tests run side by side, whole modules at a time, each worker with one thread.
WORKERS ?= 2
# The same processor features wherever it matters (see the target nbval-avx2).
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell
NBVAL := env -u BIOADV_DATA -u BIOADV_RESULTS $(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout 600 -q -p no:hypothesispytest book

# Values that are given are texts: neither make nor a shell expands what looks like a command in them. `value` takes them
# as they are, `override` holds for make's command line too, and recipes find them in the environment.
STUDY := CONFIG PROFILE CORES SEEDS MODELS OUT RETRAIN OPTIONS
$(foreach name,$(STUDY),$(eval override $(name) := $$(value $(name))))
export $(STUDY)
quoted = '$(subst ','\'',$(1))'
# Chapters run in folders of their own, so the paths of images are made absolute; names of datasets stay.
absolute = $(shell $(PYTHON) -c 'import os, sys; p = sys.argv[1]; known = p in ("cifar10", "mnist", "photo-patches"); \
	print(p if known or not os.path.exists(p) and sys.argv[2:] else os.path.abspath(p))' $(call quoted,$(1)) $(2))
ifneq ($(value BIOADV_DATA),)
override BIOADV_DATA := $(value BIOADV_DATA)
override BIOADV_DATA := $(call absolute,$(BIOADV_DATA),if-it-is-there)
export BIOADV_DATA
endif
ifneq ($(value BIOADV_DATA_DIR),)
override BIOADV_DATA_DIR := $(value BIOADV_DATA_DIR)
override BIOADV_DATA_DIR := $(call absolute,$(BIOADV_DATA_DIR))
export BIOADV_DATA_DIR
endif

.PHONY: help setup book pdf article test lint pytest live nbval nbval-2 nbval-1 nbval-avx2 run lab bench paper release slurm-test lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 18

requirements-cpu.lock: requirements.lock
	@$(PYTHON) -m tools.cpu_lock

# The mark is removed first and set last: an environment whose installation was cut short is made anew.
$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; set PYTHON=...")'
	@if [ -f $(READY) ]; then rm $(READY); else rm -rf .venv; fi
	@[ -d .venv ] || $(PYTHON) -m venv .venv || { echo 'the venv module is needed (Debian: apt install python3-venv)'; exit 1; }
	@echo 'installing the locked packages into .venv (a few minutes, about $(SIZE) GB)'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

setup: $(READY) ## make .venv with the locked packages

# What the chapters compute with, besides their sources; written anew only when it is another.
SETTINGS := BIOADV_RESULTS BIOADV_DATA BIOADV_EFFORT
_build/settings: FORCE
	@mkdir -p _build; env | sed -nE '/^($(subst $(eval) ,|,$(SETTINGS)))=/p' | sort | cmp -s - $@ || \
		env | sed -nE '/^($(subst $(eval) ,|,$(SETTINGS)))=/p' | sort > $@
FORCE:

_build/executed/%.ipynb: book/%.py $(SOURCES) $(RESULTS) _build/settings | $(READY)
	@$(BIN)/python -m tools.notebooks run $< --out $@

# Two chapters at a time: most of a chapter runs on one core.
book: $(READY) ## execute the chapters and build _build/html/index.html
	@$(MAKE) --no-print-directory -s -j2 --output-sync=target $(EXECUTED)
	@rm -rf _build/html _build/.doctrees _build/.jupyter_cache
	@$(BIN)/python -m tools.build_book stage
	@PYTHONPATH=$(CURDIR) $(BIN)/jupyter-book build -W -n --keep-going --path-output . _build/stage
	@$(BIN)/python -m tools.finish
	@$(BIN)/python -m tools.build_book verify

pdf: $(READY) ## print the built book to _build/html/book.pdf (needs Chromium)
	@$(BIN)/python -m tools.pdf

article: $(READY) ## fill in and print paper/paper.md, to _build/article (needs Chromium)
	@$(BIN)/python -m tools.article

test: lint pytest nbval ## run every check: ruff, mypy, pytest, and nbval in three settings
	@mkdir -p _build && { [ -n "$$(git status --porcelain 2>/dev/null)" ] || git rev-parse HEAD > _build/tested 2>/dev/null || true; }

release: $(READY) ## go through the checklist of a release; it stops where a person must act
	@$(BIN)/python -m tools.release

lint: $(READY) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

pytest: $(READY) ## the package's tests, and those of the book's own tools
	@$(if $(filter-out 0,$(WORKERS)),OMP_NUM_THREADS=1) $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

live: $(READY) ## run every chapter on images of every kind, and from the wheel (`make pytest` does a cross-section)
	@BIOADV_LIVE=all $(BIN)/python -m pytest -q tests/test_live.py tests/test_wheel.py -k 'chapters_run or empty_folder'

# The three share the cores; the one with two threads goes first where cores are short, or it would end last and alone. Each
# trains the live networks anew, and keeps them from one chapter to the next.
FRESH = rm -rf _build/cache/$@; export BIOADV_CACHE='$(CURDIR)/_build/cache/$@'
nbval: $(READY) ## compare the stored notebooks with fresh runs
	@$(MAKE) --no-print-directory -j3 --output-sync=target nbval-2 nbval-1 nbval-avx2

nbval-2: $(READY)
	@$(FRESH); echo 'nbval, two threads'; OMP_NUM_THREADS=2 $(NBVAL)

nbval-1: $(READY)
	@$(FRESH); echo 'nbval, one thread'; OMP_NUM_THREADS=1 nice $(NBVAL)

nbval-avx2: $(READY)
	@$(FRESH); echo 'nbval, AVX2 only'; $(AVX2) OMP_NUM_THREADS=1 nice $(NBVAL)

run: $(READY) ## execute the chapters again and store their outputs in book/*.ipynb
	@env $(SETTINGS:%=-u %) $(BIN)/python -m tools.notebooks run $(CHAPTERS:%=book/%.py)
	@$(BIN)/python -m tools.notebooks check $(CHAPTERS:%=book/%.ipynb)
	@$(BIN)/python -m tools.build_book picture fig-kh-filters book/_static/readme.png

lab: $(READY) ## open a copy of the chapters, _build/lab, in JupyterLab; BIOADV_DATA=... for other images
	@$(BIN)/python -m tools.lab $(OPTIONS)

bench: $(READY) ## print the speed ratios
	@$(BIN)/python -m benchmarks

paper: $(READY) ## run a study: CONFIG=cifar10 (days, resumes where it stopped) or photo-patches; see book/running.md
	@BIOADV_END_WITH=$$PPID $(BIN)/python -m tools.paper

slurm-test: $(READY) ## run the small study on a Slurm of one host (Debian: apt install slurm-wlm; as root)
	@BIOADV_SLURM=1 $(BIN)/python -m pytest -q tests/slurm

ifeq ($(TORCH),cpu)
lock: ## TORCH=cpu: lock the same versions without CUDA
	@$(PYTHON) -m tools.cpu_lock
else
lock: $(READY) ## choose and lock the newest versions of all packages
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile -q --no-config --upgrade --universal --generate-hashes \
		--python-version 3.11 --all-extras --group build --no-annotate pyproject.toml -o requirements.lock
endif

clean: ## remove what was built (keeps .venv, results, and your copy of the chapters, _build/lab)
	@[ ! -d _build ] || find _build -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} +
