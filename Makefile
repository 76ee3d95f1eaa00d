# Everything runs in a .venv that is made here on first use; a second call only checks time stamps.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= report,test
SOURCES := setup.py pyproject.toml $(wildcard pyx/liqsim/_core/*)

.PHONY: help demo figures test check sanitize lab bench lint clean

help:
	@echo "make demo   fit real BTC returns, sweep and compare venues, write out/demo/ (report.html first)"
	@echo "make test   quick tests          make check  every test and the linters"
	@echo "make lab    JupyterLab on the notebooks"
	@echo "make bench  time the kernel      make lint   ruff, cython-lint, mypy"
	@echo "make sanitize  the kernel's tests under sanitizers"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv failed; on Debian: apt-get install python3-venv python3-dev gcc" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.built: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.lint: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable ".[lint]"
	@touch $@

demo: $(VENV)/.built
	$(BIN)/liqsim demo --out out/demo

figures: demo
	cp out/demo/p_liquidation_binance_usdm_btcusdt_long.png docs/img/heatmap.png
	cp out/demo/cliff.png out/demo/returns.png out/demo/venues.png docs/img/

test: $(VENV)/.built
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint pyx
	$(BIN)/mypy

check: lint
	$(BIN)/python -m pytest

sanitize: $(VENV)/.built
	$(BIN)/python tools/sanitize.py address,undefined
	$(BIN)/python tools/sanitize.py thread

lab: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable ".[lab]"
	$(BIN)/jupyter lab notebooks

bench: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/evaluators.py --out out/bench/evaluators.md
	$(BIN)/python benchmarks/compare.py --out out/bench

clean:
	rm -rf build out $(VENV) *.egg-info
	find liqsim -name "*.so" -delete
