# Everything a developer does with this repository. `make` alone lists it.
# Each target works on a bare clone: what is missing is installed first, or named with the command that gets it.

PYTHON := .venv/bin/python
LAUNCHER := $(PYTHON) -m deploy.local
CHAOS := tests/e2e/test_chaos.py
COMPOSE := docker compose $(foreach file,$(wildcard .env),--env-file $(file)) --env-file var/docker.env

.DEFAULT_GOAL := help
.PHONY: help install up demo test-chaos test-beside admin console backup restore kubernetes down status logs reset clean doctor test unit lint format openapi monitoring test-api bench bench-compare bench-growth bench-scale check-history neighbours profile lock up-docker down-docker roll rolling test-overload verify tamper simulate mutants chaos power-cut incident

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv from requirements.lock, unless it is up to date.
	@sh deploy/bootstrap.sh

up: install ## Start PostgreSQL, Kafka and the four services, and print where they are.
	@$(LAUNCHER) up

demo: up ## Play a partner's day against the running stack.
	@$(PYTHON) -m deploy.demo

down: install ## Stop what `make up` started; the data stays.
	@$(LAUNCHER) down

status: install ## Show every process with its address and state (FORMAT=json for programs).
	@$(LAUNCHER) status

logs: install ## Follow all logs: SERVICE=gateway for one, LEVEL=warning, TRACE=<id>, GREP=<text> (FOLLOW=0 returns, FORMAT=json as they are).
	@$(LAUNCHER) logs

roll: install ## Restart every process of all services (SERVICE=gateway for one) without a request lost.
	@$(LAUNCHER) roll

reset: install ## Put the data back to the development seed.
	@$(LAUNCHER) reset

clean: install ## Stop the stack and delete its data, secrets and logs.
	@$(LAUNCHER) clean

doctor: install ## Say what this machine lacks for `make up`, and how to get it.
	@$(LAUNCHER) doctor

test: lint ## Run the checks and every test, on servers of the tests' own.
	@$(LAUNCHER) prepare
	@$(MAKE) --no-print-directory --jobs=2 test-chaos test-beside
	@$(PYTHON) -m pytest -m services --ignore=$(CHAOS)

# The fault campaign computes half of its time and judges no speed here: what runs no services fills the other half.
test-chaos: install
	@$(PYTHON) -m pytest $(CHAOS)

test-beside: install
	@nice -n 5 $(PYTHON) -m pytest -m "not services"

unit: install ## Run the tests that need no server, in seconds.
	@$(PYTHON) -m pytest tests/unit

lint: install ## Check style, types and the rules of who may import whom.
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy --strict -p libs -p services -p deploy -p bench -p ota_client -p ota_checker -p ota_verify -p simulation -p chaos
	@.venv/bin/lint-imports

format: install ## Put the code into the house's format.
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

openapi: install ## Write the generated documents of API and topics to docs/ (RELEASE=1 makes them the released ones).
	@$(PYTHON) -m deploy.openapi $(if $(RELEASE),--release)

monitoring: install ## Write rules, alerts, dashboards and docs/metrics.md from deploy/monitoring and the metrics' catalogue.
	@$(PYTHON) -m deploy.monitoring

test-api: install ## Call the live API with at least 5,000 generated requests, all checks on (Schemathesis).
	@$(LAUNCHER) prepare
	@$(PYTHON) -m tests.api

test-overload: install ## Five times what the ledger can take, and every endpoint under each fault; writes docs/evidence/ (4 minutes).
	@$(LAUNCHER) prepare
	@$(PYTHON) -m tests.campaign.overload --report overload
	@$(PYTHON) -m tests.campaign.bounded --report bounded

neighbours: install ## What good clients notice of a greedy partner and of hostile clients, and what times tell (REPORT=name, 4 minutes).
	@$(LAUNCHER) prepare
	@$(PYTHON) -m tests.campaign.neighbours $(if $(REPORT),--report $(REPORT))

simulate: install ## Play random histories of the whole platform in one process: SEEDS=200 FROM=0 STEPS=400 (REPORT=folder).
	@$(PYTHON) -m simulation --seeds $(or $(SEEDS),200) --from $(or $(FROM),0) --steps $(or $(STEPS),400) $(if $(REPORT),--report $(REPORT))

mutants: install ## Put each seeded bug into a copy of the tree and see which check catches it (LAYERS=L1,unit ARGS="M01 M05" for some; L3 needs root).
	@$(PYTHON) -m simulation.mutants $(if $(LAYERS),--layers $(LAYERS)) $(if $(REPORT),--report $(REPORT)) $(ARGS)

backup: install ## Copy the running stack's databases and keep their log from then on (OTA_BACKUP_DIR).
	@$(PYTHON) -m deploy.backup backup

restore: install ## Make the databases of a moment in another data folder: TO=<folder> AT=2026-11-23T14:05:00Z.
	@$(if $(TO),,echo "TO=<folder> is missing" >&2; exit 2)
	@$(PYTHON) -m deploy.backup restore --to $(TO) --at "$(AT)"

kubernetes: install ## Write the generated manifests of deploy/kubernetes: topics, users, settings, scripts, rules.
	@$(PYTHON) -m deploy.kubernetes

admin: install ## Run the operators' console on the running stack: make admin ARGS="partner list".
	@$(PYTHON) -m deploy.local.console $(ARGS)

console: install ## Print an address that signs you in to the console, for once (NAME=wing ROLE=viewer for somebody else).
	@$(PYTHON) -m deploy.local.console operator code $(or $(NAME),$(shell id -un)) --add $(or $(ROLE),operator)

verify: install ## Verify the running stack with code that is not its own: ARGS="export DIR", "exported DIR", "system --json".
	@$(PYTHON) -m deploy.local.verifying $(or $(ARGS),system)

tamper: install ## Falsify an export in COUNT=1000 ways and see each one detected (SEED=1; FROM=<export> for a real system's).
	@$(PYTHON) -m tests.tamper --count $(or $(COUNT),1000) --seed $(or $(SEED),1) $(if $(FROM),--from $(FROM)) --write

bench: install ## Run every scenario and write tables, JSON and a report: BENCH=quick (3 minutes) or full; ARGS="--only reserve", BENCH_REPORT=<name> for docs/evidence.
	@$(PYTHON) -m bench $(if $(BENCH),--$(BENCH)) $(ARGS)

chaos: install ## Faults on a stack of its own under load, and the judgement: MINUTES=5 SEED=1 RATE=200 FAULTS=F1,F6 OUT=folder (all faults: as root).
	@$(LAUNCHER) prepare
	@$(PYTHON) -m chaos --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1) --rate $(or $(RATE),200) $(if $(FAULTS),--faults $(FAULTS)) $(if $(OUT),--out $(OUT)) $(ARGS)

power-cut: install ## Cut the power of PostgreSQL and Kafka under load, with the control that has to lose (as root).
	@$(PYTHON) -m chaos.power_cut --postgres
	@$(PYTHON) -m chaos.power_cut --kafka
	@$(PYTHON) -m chaos.power_cut --postgres --mutant

bench-compare: install ## Measure another version and this one in turns: BASE=<commit> ROUNDS=4 CLIENTS=32 (PATCH=file changes the base).
	@$(if $(BASE),,echo "BASE=<commit> is missing, as in: make bench-compare BASE=HEAD~1" >&2; exit 2)
	@$(PYTHON) -m bench.compare $(BASE) --rounds $(or $(ROUNDS),4) --clients $(or $(CLIENTS),32) $(if $(PATCH),--patch $(PATCH))

bench-growth: install ## The same load at 0 to 1,000,000 units sold, with 100,000 open holds, after restarts (GROWTH_MAX=<units>).
	@$(PYTHON) -m bench.growth --max $(or $(GROWTH_MAX),1000000)

bench-scale: install ## One, two and four instances of inventory, one and two gateways, on a stack of its own.
	@$(PYTHON) -m bench.scale

check-history: install ## Judge an exported run by an independent program, I1 to I24: DIR=<export> (docs/history.md).
	@$(if $(DIR),,echo "DIR=<export> is missing" >&2; exit 2)
	@$(PYTHON) -m ota_checker $(DIR) $(ARGS)

profile: install ## Where a running service spends its CPU: SERVICE=gateway SECONDS=20 CLIENTS=32; LOAD=0 adds no load, NATIVE=1 shows C.
	@$(PYTHON) -m bench.profile --service $(or $(SERVICE),gateway) --seconds $(or $(SECONDS),20) --clients $(or $(CLIENTS),32) $(if $(filter 0,$(LOAD)),--no-load) $(if $(NATIVE),--native)

rolling: install ## What partners notice while every service is restarted: ROUNDS=20 SEED=1 INSTANCES=1 or 2; WHAT=faults: killed and frozen.
	@$(LAUNCHER) prepare
	@$(PYTHON) -m tests.rolling $(or $(WHAT),rounds) --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),1) --instances $(or $(INSTANCES),1)

incident: install ## Stage an incident on a stack of its own and see what tells of it: N=1 to 10, any, all; HOLD=1 to find it yourself.
	@$(LAUNCHER) prepare
	@$(PYTHON) -m tests.incidents $(or $(N),any) $(if $(HOLD),--hold) $(if $(WRITE),--write)

lock: ## Resolve pyproject.toml into requirements.lock (needs uv).
	uv pip compile pyproject.toml --all-extras --generate-hashes --no-header --python-version 3.11 -o requirements.lock

up-docker: ## Start the same stack in containers (needs Docker only; MONITORING=1 with Prometheus and Grafana).
	@sh deploy/docker-secrets.sh var/docker.env
	@$(if $(filter-out 0,$(MONITORING)),OTA_PROMETHEUS_URL=http://prometheus:9090) $(COMPOSE) $(if $(filter-out 0,$(MONITORING)),--profile monitoring) up --build --detach --wait
	@$(COMPOSE) ps

down-docker: ## Stop the containers; their volumes stay.
	@$(COMPOSE) --profile monitoring down
