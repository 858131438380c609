# One command each; every target first does the set-up it needs (once, some minutes, then
# seconds).  See README.md.
#
#   make run                          the demonstration, all notebooks
#   make run ARGS="--run longer -p 03.epochs=3"
#   make test PYTHON=/opt/python3.12/bin/python3

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
TORCH := torch==2.13.0
ARGS ?=

FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)

.PHONY: help run reference study confirmation test test-full test-browser test-label-studio bench \
	more lab venv clean
help:
	@echo "make run        the demonstration on a laptop, posts to figures"
	@echo "make test       style checks and all tests"
	@echo "make test-full  the same, with as many faults as outputs/reference/faults.json reports"
	@echo "make test-browser  form and card in a real Chromium and JupyterLab"
	@echo "make test-label-studio  the raters' tasks and answers in Label Studio's own SDK"
	@echo "make bench      our engines beside the released loop and their peers"
	@echo "make lab        JupyterLab on the project's kernel"
	@echo "make reference  the larger run on public data sets (hours)"
	@echo "make study      the ablations of the reference run, MINUTES=25 at a time"
	@echo "make confirmation  its claims C2, C3 and C4 on new posts (hours)"
	@echo "make venv       only the set-up"
	@echo "make clean      remove runs that are not committed and tools' caches"

run: $(READY)
	$(PY) -m hsd_utils.pipeline demo $(ARGS)

reference: $(READY)
	$(PY) -m pip install --quiet --no-deps -r requirements-peers.txt
	$(PY) -m hsd_utils.pipeline reference $(ARGS)

# No cell is begun after so many minutes; the same command goes on with what is left.
MINUTES ?= 25
RUN ?= reference
study: $(READY)
	$(PY) -m hsd_utils.study $(RUN) --minutes $(MINUTES) $(ARGS)
	$(PY) -m hsd_utils.pipeline reference --run $(RUN) --only 08

# On new posts: the reference run's students (03 trains those that are not at hand anew), and the
# study's cells of the three claims.
OUT := $(or $(HSD_OUTPUTS),outputs)
confirmation: $(READY)
	$(PY) -m pip install --quiet --no-deps -r requirements-peers.txt
	@mkdir -p $(OUT)/confirmation; cd $(OUT); \
	if [ -d confirmation/students ]; then :; \
	elif [ -d reference/students ]; then cp -R reference/students confirmation/students; \
	else echo "No students in $(OUT)/reference: notebook 03 will train them (an hour)"; fi
	$(PY) -m hsd_utils.pipeline confirmation --only 01 --only 02 --only 03 --only 04
	$(PY) -m hsd_utils.study confirmation --grid confirmation.yaml $(ARGS)
	$(PY) -m hsd_utils.pipeline confirmation --only 08

# Two files at once, each whole in one process, which has one core for torch: with more threads
# than cores they mostly wait for one another.
THREADS := OMP_NUM_THREADS=1
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder
test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(THREADS) $(PY) -m pytest $(WORKERS) $(ARGS)

test-full: WORKERS :=
test-full: THREADS :=
test-full: export HSD_FULL := 1
test-full: $(READY) more test

test-browser: export HSD_BROWSER := 1
test-browser: $(READY)
	$(PY) -m pip install --quiet --no-deps -r requirements-browser.txt
	$(PY) -m pytest tests/test_browser.py $(ARGS)

test-label-studio: export HSD_LABEL_STUDIO := 1
test-label-studio: $(READY)
	$(PY) -m pip install --quiet --no-deps -r requirements-label-studio.txt
	$(PY) -m pytest tests/test_label_studio.py $(ARGS)

bench: $(READY) more
	$(PY) -m hsd_utils.bench teacher --run reference --profile
	$(PY) -m hsd_utils.bench training --run reference
	$(PY) -m hsd_utils.bench student --run reference
	$(PY) -m hsd_utils.bench store --run reference

more: $(READY)
	$(PY) -m pip install --quiet --no-deps -r requirements-ray.txt -r requirements-bench.txt \
		-r requirements-peers.txt

lab: $(READY)
	JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyterlab --notebook-dir=. $(ARGS)

venv: $(READY)

# The stamp goes first and comes back last, and without it the folder is made anew: an
# install that was cut off is never built upon.  torch brings its dependencies (on Linux the
# CUDA libraries); all else is the lock, not resolved.
$(READY): requirements.txt requirements-gpu.txt pyproject.toml
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { echo "This needs Python 3.11 or 3.12 with its\
	 venv module ($(if $(PYTHON),$(PYTHON) does not fit,none was found)): install one and name it, as in\
	 make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV): some minutes and gigabytes, once"
	@if [ -f $@ ]; then rm $@; else rm -rf $(VENV); fi
	"$(PYTHON)" -m venv $(VENV)
	$(PY) -m pip install $(TORCH)
	$(PY) -m pip install --no-deps -r requirements.txt
	@if $(PY) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	$(PY) -m pip install --no-deps -r requirements-gpu.txt; fi
	$(PY) -m pip install --no-deps --no-build-isolation --editable .
	@touch $@

# Spares the weights and answers under HSD_CACHE, the virtual environment, and every run of
# which a file is committed or that people have rated.
clean:
	@git rev-parse --is-inside-work-tree >/dev/null || \
	{ echo "make clean asks git which runs are committed, and git is not at work here" >&2; exit 1; }
	@for run in outputs/*; do \
	if [ "$$run" != outputs/reference ] && [ -z "$$(git ls-files "$$run" 2>/dev/null)" ] && \
	[ -z "$$(ls "$$run/ratings/returned" 2>/dev/null)" ]; \
	then rm -rf "$$run"; fi; done
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \
	-o -name unsloth_compiled_cache \) -type d -prune -exec rm -rf {} +
