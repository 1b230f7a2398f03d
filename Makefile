# Two commands for a fresh machine with Python 3.11-3.13, git and make:
#   make demo   sets everything up, interpolates the sample volume, then serves the browser workstation
#   make test   sets everything up and runs the tests
PYTHON ?= python3
TORCH ?= cpu
SERVE ?= 1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SAMPLE := MedSR/Resources/SampleData/pig_cine_ed.nrrd

# The default build of torch for Linux brings gigabytes of CUDA; TORCH=cuda asks for it.
ifeq ($(TORCH),cpu)
TORCH_PACKAGE := $(shell sed -n 's/^torch==//p' constraints.txt)
ifeq ($(shell uname -s),Linux)
TORCH_PACKAGE := torch==$(TORCH_PACKAGE)+cpu
else
TORCH_PACKAGE := torch==$(TORCH_PACKAGE)
endif
TORCH_INDEX := --no-deps --extra-index-url https://download.pytorch.org/whl/cpu --retries 1 --timeout 20
else
TORCH_PACKAGE := torch
TORCH_INDEX :=
endif

.PHONY: demo test lint test-slicer-5.12 clean

demo: $(VENV)/.app
	@mkdir -p demo
	$(BIN)/medsr interpolate-slices $(SAMPLE) demo/pig_cine_interpolated.nrrd --fidelity demo/pig_cine_fidelity.nrrd --picture demo/comparison.png
	$(BIN)/medsr evaluate slices $(SAMPLE) --out demo/evaluation
	@echo "Result:             $(CURDIR)/demo/pig_cine_interpolated.nrrd"
	@echo "Fidelity map:       $(CURDIR)/demo/pig_cine_fidelity.nrrd"
	@echo "Comparison picture: $(CURDIR)/demo/comparison.png"
	@echo "Table:              $(CURDIR)/demo/evaluation/slices.csv"
	@if [ "$(SERVE)" = 1 ]; then $(BIN)/medsr app $(SAMPLE) demo/pig_cine_interpolated.nrrd; fi

test: $(VENV)/.test
	$(BIN)/python Testing/system_parts.py
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

test-slicer-5.12:
	sh Testing/slicer_5_12.sh "$(PYTHON)"

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/.app: pyproject.toml constraints.txt | $(VENV)/.venv
	$(PIP) $(TORCH_INDEX) -c constraints.txt "$(TORCH_PACKAGE)"
	$(PIP) -c constraints.txt -e ".[app]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.venv
	$(PIP) $(TORCH_INDEX) -c constraints.txt "$(TORCH_PACKAGE)"
	$(PIP) -c constraints.txt -e ".[app,train,test]"
	@touch $@

$(VENV)/.venv:
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || \
	  { echo "MedSR needs Python 3.11, 3.12 or 3.13; name one with PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "This Python cannot make virtual environments; install python3-venv (Debian, Ubuntu: apt install python3-venv)."; rm -rf $(VENV); exit 1; }
	@touch $@
