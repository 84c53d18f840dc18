# extauthz: every task of a developer, one target each. `make` alone lists them.
# The environment is .venv, made from the hash-locked files under requirements/ and nothing else.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The interpreter that .venv is made with: the first of these that runs and is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
XDS := $(VENV)/xds-protos
XDS_STAMP := $(XDS)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links
# The package with its hot modules compiled, as the image has it; what runs behind $(COMPILED) takes that one.
NATIVE := build/native
COMPILED := NATIVE=1 PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(NATIVE):$(CURDIR)"
# Arguments of pytest for `unit` and `test`, or of the command for `demo`: make test ARGS='-k reuse'
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### Environment

.PHONY: venv
venv: $(STAMP) $(XDS_STAMP) ## Make .venv from the locks, or bring it up to date

$(STAMP): requirements/dev.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "python 3.11 or newer is needed: install it, or name one with PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "\`$(PYTHON)\` is not python 3.11 or newer: name another with PYTHON=" >&2; exit 1; }
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(XDS_STAMP): requirements/xds.txt | $(STAMP)
	@rm -rf $(XDS)
	$(PIP) install --no-deps --target $(XDS) --require-hashes -r requirements/xds.txt
	@touch $@

.PHONY: lock
lock: | $(STAMP) ## Renew the hash-locked requirements from pyproject.toml; UPGRADE=1 takes the newest versions
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra demo --group dev -o requirements/dev.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --group native -c requirements/dev.txt -o requirements/native.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --no-deps --group xds -o requirements/xds.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --no-deps --group cluster -o requirements/cluster.txt

.PHONY: clean
clean: ## Remove .venv, builds and caches
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##### Code

.PHONY: protos
protos: $(STAMP) ## Compile protos/ into extauthz/_pb
	$(BIN)/python protos/generate.py

.PHONY: protos-check
protos-check: $(STAMP) ## Fail when extauthz/_pb is not what protos/ compiles to
	$(BIN)/python protos/generate.py --check

.PHONY: docs
docs: $(STAMP) ## Write the reference pages that the code can tell
	$(BIN)/python docs/generate.py

.PHONY: docs-check
docs-check: $(STAMP) ## Fail when a reference page is not what the code tells
	$(BIN)/python docs/generate.py --check

.PHONY: crds
crds: $(STAMP) ## Write the CustomResourceDefinitions into the chart
	@mkdir -p charts/extauthz/files/crds
	$(BIN)/extauthz crds --output charts/extauthz/files/crds

.PHONY: crds-check
crds-check: $(STAMP) ## Fail when the chart's CustomResourceDefinitions are not what the code makes
	$(BIN)/extauthz crds --check --output charts/extauthz/files/crds

.PHONY: format
format: $(STAMP) ## Format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: lint
lint: $(STAMP) ## Fail on style (ruff)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

.PHONY: types
types: $(STAMP) ## Fail on types (mypy, strict)
	$(BIN)/mypy

.PHONY: layers
layers: $(STAMP) ## Fail on an import that goes up or sideways (import-linter)
	$(BIN)/lint-imports --no-logo

.PHONY: native
native: $(NATIVE)/.built ## Compile what every Check runs through, as the image does; needs a C compiler

$(NATIVE)/.built: native/build.py $(shell find extauthz -name '*.py' -not -path '*/__pycache__/*') | $(STAMP)
	$(BIN)/python native/build.py $(NATIVE)
	@touch $@

##### Tests

.PHONY: unit
unit: $(STAMP) ## Run the unit tests: loopback only, seconds
	$(BIN)/python -m pytest tests/unit $(ARGS)

# The folders whose tests ask what is compiled; `test` runs all of them with the sources as they stand.
.PHONY: test-native
test-native: native $(XDS_STAMP) ## Run the tests of what is compiled with the compiled modules
	$(COMPILED) $(BIN)/python -m pytest --override-ini pythonpath= tests/unit tests/laws tests/contract tests/vectors tests/catalogue tests/fuzz tests/envoy $(ARGS)

.PHONY: check
check: lint types layers protos-check docs-check crds-check unit ## All that needs no other process, under two minutes

# The API server of tests/cluster: given by KUBEBUILDER_ASSETS, else built where there is a Go, else those tests skip.
.PHONY: cluster-tools
cluster-tools: $(STAMP) ## Build kube-apiserver, etcd and kubectl into a cache, once, and fetch helm and CRDs; needs Go
	$(BIN)/python -m tests.cluster.tools.build
	$(BIN)/python -m tests.cluster.tools.helm
	$(BIN)/python -m tests.cluster.tools.published

.PHONY: test
test: $(STAMP) $(XDS_STAMP) $(if $(KUBEBUILDER_ASSETS),,$(if $(shell command -v go),cluster-tools)) ## Run every test
	$(BIN)/python -m pytest $(ARGS)

.PHONY: translations
translations: $(STAMP) $(XDS_STAMP) cluster-tools ## Record what Istio and Envoy Gateway make of deploy/; builds both once; needs Go
	$(BIN)/python -m tests.deploy.record

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz what reads strangers' octets and authors' files; FUZZ_INPUTS=1000000 ARGS='--only tokens --seed 7'
	$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: fuzz-native
fuzz-native: native ## Fuzz the compiled modules, and hold them against their sources; ARGS='--only builds --inputs 300000'
	$(COMPILED) $(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: race
race: $(STAMP) ## Race for one token over three replicas while everything breaks; RACE_ROUNDS=1000 ARGS='--seed 7 --kind redis'
	$(BIN)/python -m tests.redis.race $(ARGS)

.PHONY: demo
demo: $(STAMP) ## A real Envoy, an issuer and an upstream on this machine; ARGS=--keep leaves them running
	$(BIN)/extauthz demo $(ARGS)

##### Measurements

.PHONY: bench
bench: native ## Measure what a Check costs beside its yardsticks; ARGS='--only answer --output json FILE'
	$(COMPILED) $(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: native ## Half an hour of load, changes and a million tokens; ARGS='--only envoy --seconds 60'
	$(COMPILED) $(BIN)/python -m bench.soak $(ARGS)
