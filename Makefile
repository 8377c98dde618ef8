# Two commands set vaekit up on a fresh machine: `make demo` and `make test`.
# Each makes its own environment in .venv; nothing is installed outside it and root is not needed.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# One thread a worker: several workers with several threads each wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help demo test quick lint format docs bench mutants trust attack screenshots lock clean
.NOTPARALLEL:

help:
	@echo "make demo    train and evaluate on the bundled real digits, into demo/digits"
	@echo "make test    every test and every example in the documentation of the code"
	@echo "make quick   the same without the tests that take over five seconds"
	@echo "make lint    ruff and pyright (pyright fetches itself from npm the first time)"
	@echo "make format  put the code in order with ruff"
	@echo "make docs    the documentation as pages, into docs/_build/html, every block of code run"
	@echo "make bench   training speed against a textbook loop, pythae and the machine's limit (ARGS=--quick for a first look)"
	@echo "make mutants  plant faults one at a time and see which the tests catch (ARGS='--area bounds --per-file 3')"
	@echo "make trust   docs/trust.md: what intervals cover, what is compared, what recipes are worth (ARGS=--keep: no training)"
	@echo "make attack  try for an hour to break vaekit, and write docs/reliability.md (ARGS='--minutes 5')"
	@echo "make screenshots  the pictures and the sample report in docs (needs a Chromium)"
	@echo "make lock    write the files of hashes again after a change of constraints.txt (needs uv)"
	@echo "make clean   remove .venv, demo and runs"
	@echo "Settings: PYTHON=python3.12  VENV=folder  WORKERS=4  ARGS='-k elbo'"

# An environment that has no working pip is made again; one that has is kept.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "vaekit needs Python 3.11 or newer, and '$(PYTHON)' is not: name another with 'make PYTHON=python3.12 ...'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@touch $@

# The stamps are older than a changed requirement, so a change is installed at the next command.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing vaekit and what it needs into $(VENV) (some minutes the first time)"
	@$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing vaekit, what it needs and its tests' tools into $(VENV) (some minutes the first time)"
	@$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo
	$(BIN)/vaekit train vae --data digits --set model.likelihood=discretised-logistic --set model.latent=10 --out demo/digits --overwrite
	$(BIN)/vaekit evaluate demo/digits
	@echo "Open demo/digits/report.html in a browser."

test: $(VENV)/.dev
	$(PYTEST) $(ARGS)

quick: $(VENV)/.dev
	$(PYTEST) -m 'not slow' $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests bench docs/conf.py docs/_ext examples
	$(BIN)/ruff format --check src tests bench docs/conf.py docs/_ext examples
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.dev
	$(BIN)/ruff check --fix src tests bench docs/conf.py docs/_ext examples
	$(BIN)/ruff format src tests bench docs/conf.py docs/_ext examples

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -q -W --keep-going -n -j 2 -d docs/_build/doctrees docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

bench: $(VENV)/.demo
	$(BIN)/python bench/run.py $(ARGS)

mutants: $(VENV)/.dev
	$(BIN)/python bench/mutants.py $(ARGS)

trust: $(VENV)/.dev
	$(BIN)/python bench/trust.py $(ARGS)

attack: $(VENV)/.dev
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests $(BIN)/python -m attack --out bench/results/attack.json --page $(ARGS)

screenshots: $(VENV)/.dev
	$(BIN)/python bench/screenshots.py $(ARGS)

# The same pins with the hash of every file that may be installed. PyTorch is apart: its build depends on the device.
HASHES := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock:
	grep -v '^torch==' constraints.txt | $(HASHES) --no-deps - -o requirements.lock
	grep '^torch==' constraints.txt | $(HASHES) -c constraints.txt - -o requirements-torch.lock

clean:
	rm -rf .venv demo runs
