# Every command of the project. Plain `make` prints them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where this is set, every TensorFlow process compiles its library again: seven seconds instead of two.
export PYTHONDONTWRITEBYTECODE :=

SERVICES := kit market feature-store model-server quote-classifier premium-regressor gateway gateway/client local-fleet
PROJECTS := $(SERVICES:%=services/%) loadtests loadtests/baseline accuracy
LINTS := $(PROJECTS:%=lint/%) lint/tests
UNITS := $(PROJECTS:%=unit/%)
FLEET := services/local-fleet/.venv/bin/python -m local_fleet
OFFSET ?= 0
UP_ARGS ?=

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2} /^##@ / {printf "\n%s\n", substr($$0, 5)}' $(MAKEFILE_LIST)

##@ The fleet on this machine (OFFSET=100 moves every port)
.PHONY: run stop status accuracy load models
run: ## Install, make the market, train, start the whole fleet; Ctrl-C stops it
	@scripts/venv services/local-fleet
	@$(FLEET) up --port-offset $(OFFSET) $(UP_ARGS)

models: ## Everything that `run` does before it starts a process: market, training, a bundle
	@scripts/venv services/local-fleet
	@$(FLEET) prepare $(UP_ARGS)

stop: ## Stop a fleet that was started with UP_ARGS=--detach
	@$(FLEET) down --port-offset $(OFFSET)

status: ## What runs, where, and which bundle
	@$(FLEET) status --port-offset $(OFFSET)

ENQUIRIES ?=
ACCURACY_ARGS ?=
accuracy: ## Through the running gateway, then beside baselines and oracle; ENQUIRIES=N: train on a market of N, hold it to every limit, docs/accuracy
ifeq ($(ENQUIRIES),)
	@scripts/venv services/local-fleet accuracy
	@$(FLEET) accuracy --port-offset $(OFFSET)
	@accuracy/.venv/bin/python -m accuracy fleet $(ACCURACY_ARGS)
else
	@scripts/venv services/market services/quote-classifier services/premium-regressor accuracy
	@accuracy/.venv/bin/python -m accuracy size $(ENQUIRIES) $(ACCURACY_ARGS)
endif

BUDGET_MS ?= 150
LOAD_TIME ?= 60s
load: ## Locust against the running fleet for a minute; it exits 1 when the latency budget is missed (BUDGET_MS=150)
	@scripts/venv services/local-fleet loadtests
	@url=$${BALLPARK_URL:-$$($(FLEET) url --port-offset $(OFFSET))} && [ -n "$$url" ] && cd loadtests && \
	  BALLPARK_BUDGET_MS=$(BUDGET_MS) BALLPARK_URL=$$url .venv/bin/locust -f locustfile.py --headless --only-summary -t $(LOAD_TIME)

BENCH_FLEET_ARGS ?=
.PHONY: bench-fleet
bench-fleet: ## The fleet beside two honest baselines, in turns; exit 1 below a target (BENCH_FLEET_ARGS="scaling insurers soak overload --rounds 3 --report"; --help)
	@scripts/venv services/local-fleet loadtests loadtests/baseline
	@cd loadtests && .venv/bin/python -m bench $(BENCH_FLEET_ARGS)

##@ Tests
.PHONY: test lint unit test-contract test-chart test-integration test-chaos test-e2e test-images test-cluster
test: ## Everything that runs on any machine: linters, unit, contract, chart, integration, chaos and end-to-end tests
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint unit
	@$(MAKE) --no-print-directory test-contract test-chart test-integration test-chaos test-e2e

lint: lint-style $(LINTS) ## ruff, mypy --strict and import-linter on every project
unit: $(UNITS) ## The unit tests of every project

.PHONY: lint-style $(LINTS) $(UNITS)
lint-style:
	@scripts/tool >/dev/null && .tools/bin/ruff check -q && .tools/bin/ruff format -q --check && echo "ruff: clean"

$(LINTS): lint/%:
	@scripts/venv --dev $*
	@cd $* && .venv/bin/mypy --no-error-summary && { ! grep -q '^\[tool.importlinter' pyproject.toml || .venv/bin/lint-imports --no-cache >/dev/null; } && echo "$*: mypy and imports clean"

$(UNITS): unit/%:
	@scripts/venv --dev $*
	@echo "== $*" && cd $* && .venv/bin/python -m pytest -q

test-contract test-chart test-integration test-chaos test-e2e test-images test-cluster: test-%:
	@scripts/venv --dev tests
	@echo "== tests/$*" && cd tests && .venv/bin/python -m pytest -q $* $(PYTEST_ARGS)

test-chaos: PYTEST_ARGS := -n 2 --dist loadfile
test-contract: ## What the services agree on: names, ports, wire forms
test-chart: ## What the Helm chart, compose and the dashboard promise, on rendered manifests
test-integration: ## Two or more services over real wires
test-chaos: ## The fault table of the API, line by line, under load, without TensorFlow: tests/chaos/README.md
test-e2e: ## A whole fleet: quotes, faults, bad input, clean stop
test-images: ## Build every image with podman and start it (root)
test-cluster: ## Install the chart on a real Kubernetes (KUBECONFIG, or the command BALLPARK_CLUSTER_UP) and ask for a quote

##@ The model server
.PHONY: conformance bench-model-server
conformance: ## What TensorFlow Serving does, section by section, one line each (MODEL_SERVER_CMD=... tests another server)
	@scripts/venv --dev services/model-server
	@cd services/model-server && .venv/bin/python -m pytest -q -m conformance -n 2 --dist loadfile tests/conformance $(PYTEST_ARGS)

BENCH_MODEL_SERVER_ARGS ?=
bench-model-server: ## The server beside a bare Session loop on the same model, in turns (BENCH_MODEL_SERVER_ARGS="--rounds 5 --seconds 4")
	@scripts/venv --dev services/model-server
	@services/model-server/.venv/bin/python services/model-server/benchmarks/serve.py $(BENCH_MODEL_SERVER_ARGS)

##@ The API
.PHONY: openapi fuzz bench-gateway
BENCH_GATEWAY_ARGS ?=
bench-gateway: ## The gateway's CPU a quote by stage, beside a static answer of the same size from bare uvicorn, in turns (BENCH_GATEWAY_ARGS="--insurers 60 --rounds 5")
	@scripts/venv --dev services/gateway
	@services/gateway/.venv/bin/python services/gateway/benchmarks/quote.py $(BENCH_GATEWAY_ARGS)

OPENAPI_ARGS ?=
openapi: ## docs/openapi.json and the client's types, after a change of the API; exit 3 when callers would lose something (OPENAPI_ARGS=--accept-breaking)
	@scripts/venv --dev services/gateway services/gateway/client
	@services/gateway/.venv/bin/python -m gateway openapi --out docs/openapi.json $(OPENAPI_ARGS)
	@services/gateway/client/.venv/bin/python services/gateway/client/generate.py

fuzz: ## Tens of thousands of requests made from the OpenAPI document, and 100,000 hostile bodies and model answers (about twenty minutes)
	@scripts/venv --dev services/gateway
	@cd services/gateway && .venv/bin/python -m pytest -q --hypothesis-profile=thorough --hypothesis-show-statistics tests/test_fuzz.py tests/test_schema_fuzz.py

##@ The feature store
BENCH_FEATURE_STORE_ARGS ?=
.PHONY: bench-feature-store
bench-feature-store: ## CPU of a read cached, from the store, 16 at once, beside redis-py's; p99 of a car and an area together (BENCH_FEATURE_STORE_ARGS="--rounds 9")
	@scripts/venv --dev services/feature-store
	@services/feature-store/.venv/bin/python services/feature-store/benchmarks/read.py $(BENCH_FEATURE_STORE_ARGS)

##@ The synthetic market
.PHONY: market-report bench-market
MARKET_REPORT_ARGS ?=
market-report: ## Three market seeds held to the published figures, with pictures: .ballpark/market-report.html; exit 1 when a row is outside
	@scripts/venv --dev services/market
	@mkdir -p .ballpark && services/market/.venv/bin/python -m market report --out .ballpark/market-report.html $(MARKET_REPORT_ARGS)

BENCH_MARKET_ARGS ?=
bench-market: ## A million enquiries of 60 insurers to Parquet: wall, CPU, memory (BENCH_MARKET_ARGS="--enquiries 1000000 5000000" for the growth)
	@scripts/venv services/market
	@services/market/.venv/bin/python services/market/bench/generate.py $(BENCH_MARKET_ARGS)

SWEEP_ENQUIRIES ?= 60000
SWEEP_ARGS ?=
SWEEP = .ballpark/sweep/$(SWEEP_ENQUIRIES)
.PHONY: sweep
sweep: ## Compare shapes of both nets on a small market (minutes): .ballpark/sweep/<enquiries>/<project>/sweep.md (SWEEP_ARGS="--grid FILE")
	@scripts/venv services/market services/quote-classifier services/premium-regressor
	@services/market/.venv/bin/python -m market generate --enquiries $(SWEEP_ENQUIRIES) --seed 1 --out $(SWEEP)/market --truth $(SWEEP)/truth --quiet
	@services/quote-classifier/.venv/bin/python -m quote_classifier wrangle --in $(SWEEP)/market --out $(SWEEP)/slices --quiet
	@services/quote-classifier/.venv/bin/python -m quote_classifier sweep --in $(SWEEP)/slices --out $(SWEEP)/quote-classifier $(SWEEP_ARGS)
	@services/premium-regressor/.venv/bin/python -m premium_regressor sweep --in $(SWEEP)/slices --out $(SWEEP)/premium-regressor $(SWEEP_ARGS)

BENCH_SCORE_ARGS ?=
.PHONY: bench-score
bench-score: ## The score stage over a million enquiries: rows/s, CPU, memory; needs `make models` (BENCH_SCORE_ARGS="--in DIR --store URL --rows N")
	@scripts/venv services/premium-regressor
	@services/premium-regressor/.venv/bin/python services/kit/bench/score.py $(BENCH_SCORE_ARGS)

##@ Housekeeping
.PHONY: format lock clean
format: ## Format all Python
	@scripts/tool >/dev/null && .tools/bin/ruff check -q --fix && .tools/bin/ruff format -q

lock: ## Write every project's locks again (ARGS=--upgrade takes newer versions)
	@scripts/lock $(ARGS) $(PROJECTS) tests

clean: ## Stop every fleet, remove the environments and everything the fleet made
	@[ ! -x services/local-fleet/.venv/bin/python ] || for home in .ballpark .ballpark/e2e .ballpark/bench/*/; do [ ! -d "$$home" ] || $(FLEET) down --port-offset all --home "$$home"; done
	rm -rf .ballpark .tools $(PROJECTS:%=%/.venv) tests/.venv
