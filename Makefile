# Two commands set vaekit up: `make demo` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test quick lint format clean

# The stamp is remade when a requirement changes, so a missing install step cannot hide.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/vaekit train vae --data digits --out demo/digits --overwrite
	$(BIN)/vaekit evaluate demo/digits
	@echo "Open demo/digits/report.html in a browser."

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto

quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m 'not slow'

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/pyright

format: $(VENV)/.dev
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests

clean:
	rm -rf $(VENV) demo runs
