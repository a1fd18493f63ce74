# make demo: the whole path on the mini world.   make test: every test.   Both set everything up from nothing.
PYTHON ?= python3.11
BIN := .venv/bin
export MPLBACKEND := Agg
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: venv demo test lint clean

venv: .venv/ready

.venv/ready: requirements.txt requirements-nodeps.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-nodeps.txt
	touch $@

demo: venv
	@true

test: venv lint
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv data runs out .pytest_cache .ruff_cache
