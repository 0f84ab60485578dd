# Everything below works on a machine with Python 3.11+ and make, and nothing else.
PORT ?= 3000
DATA ?= .data
export PORT DATA ROLE TENANT ORG MEMBER NAME LEADS LEAD OUTCOME RDS_CA

# The first Python on the PATH that runs and is new enough (a shim that does not run is passed over).
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; print("$(python)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
BIN := .venv/bin
# Shared out among processes; what storms, browses or runs artefacts needs the machine for itself.
QUICK := -n auto --dist loadfile -m "not storm and not browser and not package"

.DEFAULT_GOAL := help
.PHONY: help run test check build bench seed psql token tenant call

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1 - \2/p' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml layers/leadline/requirements.txt
	@test -n "$(PYTHON)" || { echo "Leadline needs Python 3.11 or newer on the PATH." >&2; exit 1; }
	@echo "Installing into .venv with $(PYTHON) ..." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1" >&2
	@$(BIN)/python -m pip install --quiet -r layers/leadline/requirements.txt --group dev >&2
	@touch $@

run: .venv/installed ## the whole product on http://127.0.0.1:$PORT, with sample data
	@exec $(BIN)/python -m local run

test: .venv/installed ## the tests, in under three minutes
	@$(BIN)/python -m pytest $(QUICK)

check: .venv/installed ## what CI runs: lint, format, types, template lint and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m local lint-template
	$(BIN)/python -m pytest $(QUICK)
	$(BIN)/python -m pytest -m "storm or browser or package"

build: .venv/installed ## what is deployed, in .build (docs/deployment.md); RDS_CA=the file of RDS's certificates
	@$(BIN)/python -m local build

bench: .venv/installed ## ratios against floors measured in the same run, at LEADS leads (1,000,000)
	@$(BIN)/python -m bench

seed: .venv/installed ## LEADS more leads (100,000) in the running database, to look at plans and times
	@$(BIN)/python -m local seed

psql: .venv/installed ## a psql on the running database; ROLE=app|owner|superuser
	@exec $(BIN)/python -m local psql --role "$${ROLE:-app}"

token: .venv/installed ## a signed token; ROLE=agent|manager|admin|service, TENANT, ORG, MEMBER
	@$(BIN)/python -m local token

tenant: .venv/installed ## a new customer: NAME="Acme Realty"
	@$(BIN)/python -m local tenant

call: .venv/installed ## a whole call through the running suite: LEAD=..., OUTCOME=interested
	@$(BIN)/python -m local call
