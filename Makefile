# Everything runs in a .venv that is made here on first use; a second call only checks time stamps.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= report,test
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
SOURCES := setup.py pyproject.toml $(wildcard pyx/liqsim/_core/*)

.PHONY: help demo figures test check sanitize lab bench lint clean

help:
	@echo "make demo   fit real BTC returns, sweep and compare venues, write out/demo/ (report.html first)"
	@echo "make test   quick tests          make check  every test and the linters"
	@echo "make lab    JupyterLab on the notebooks"
	@echo "make bench  liqsim beside its peers; ARGS=--quick takes a minute, ARGS=--help says more"
	@echo "make lint   ruff, cython-lint, mypy    make sanitize  the kernel's tests under sanitizers"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv failed; on Debian: apt-get install python3-venv python3-dev gcc" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.built: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.check: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable ".[lint,bench]"
	@touch $@

$(VENV)/.peers: $(VENV)/.check
	@for peer in jax QuantLib stochastic-rs; do \
	  $(BIN)/python -m pip install --quiet $$peer || echo "$$peer cannot be had here; the others go on" >&2; done
	@touch $@

demo: $(VENV)/.built
	$(BIN)/liqsim demo --out out/demo

figures: demo
	cp out/demo/p_liquidation_binance_usdm_btcusdt_long.png docs/img/heatmap.png
	cp out/demo/cliff.png out/demo/returns.png out/demo/venues.png docs/img/

test: $(VENV)/.built
	$(PYTEST) -m "not slow"

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint pyx
	$(BIN)/mypy

check: lint
	$(PYTEST)

sanitize: $(VENV)/.built
	$(BIN)/python tools/sanitize.py address,undefined
	$(BIN)/python tools/sanitize.py thread

lab: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable ".[lab]"
	$(BIN)/jupyter lab notebooks

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/bench.py $(ARGS)

clean:
	rm -rf build out $(VENV) *.egg-info
	find liqsim -name "*.so" -delete
