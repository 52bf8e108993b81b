# Two commands do all the set-up: `make example` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: example test retest lint docs lock clean

example: $(STAMP)  ## review the shipped example
	$(BIN)/ml-engineer review examples/churn --offline

# Three at a time, also on two cores: much of the time they wait for servers, terminals and clocks.
test: $(STAMP)  ## run the tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 3 --dist worksteal

retest: $(STAMP)  ## run those tests again that failed, one after the other
	$(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

lint: $(STAMP)  ## lint, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The lock carries hashes, so what is installed here is what was tested.
$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up $(VENV): all packages are downloaded once, which takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

docs: $(STAMP)  ## renew what is generated from the code
	$(BIN)/python -m ml_engineer.assessment.rules_index
	$(BIN)/ml-engineer rules --markdown > docs/rules.md
	$(BIN)/python -m ml_engineer.interfaces.schemas
	$(BIN)/python -m ml_engineer.interfaces.terminal.commands > docs/chat.md

lock:  ## renew requirements.lock (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
