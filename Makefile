# Bare `make` lists the targets. Each has one line here; `make help` prints those lines.
#
# Needs Go 1.26. The rest (npm, JDK 17, Maven, a C compiler for the race detector) is installed by apt-get when
# you are root, else you are told what to type. Parts and tools are kept in the user's cache folder.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What ships and what is tested is built without cgo; only the race detector needs it.
export CGO_ENABLED := 0

# Tools are built once for each set of pins and Go version, from internal/tools.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/wattline
TOOLS  = $(CACHE)/tools-$(shell (cat internal/tools/go.mod; go env GOVERSION GOOS GOARCH) | cksum | cut -d' ' -f1)
FETCH := go run ./internal/parts/fetch

# Parameters of single targets.
SPEED     ?=
FUZZTIME  ?= 30s
SEEDS     ?= 500
PKG       ?= ./...
BENCH     ?= .
REF       ?= HEAD
BENCHARGS ?= pipe
MINUTES   ?= 60
SEED      ?=
BROKERS   ?= 1,3

# Packages by stage. The race detector looks at packages that start goroutines, or have a lock, an atomic or a channel;
# the tests of the house itself gain nothing from it.
E2E  := ./internal/e2e/...
UNIT  = $(shell go list ./... | grep -vE '/internal/(e2e|chaos)(/|$$)')
RACE  = $(shell grep -rlE '^[[:space:]]+go [a-z[:punct:]]|\.Go[[:punct:]]|"sync"|"sync/atomic"|[^a-z]chan ' --include='*.go' --exclude='*_test.go' . | \
	xargs -n1 dirname | sort -u | grep -vE '/(bench|deploy)(/|$$)|/internal/(chaos|e2e|lint|parts|invariant|monitoring|tools)(/|$$)')

# say starts a stage, took ends it.
say  = @printf '\n== %s\n' '$(1)'; mkdir -p bin; date +%s >bin/.stage
took = @printf '== %s: %d s\n' '$(1)' $$(( $$(date +%s) - $$(cat bin/.stage) ))

.PHONY: help run test lint unit monitoring race e2e chaos chaos-test sim fuzz bench bench-compare pgo parts parts-pin generate build fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## a simulated city, rated live, an hour a minute, with everything it needs (SPEED=1: real time)
	@$(FETCH) libchdb >/dev/null
	@exec bin/wattline demo $(if $(SPEED),--speed $(SPEED))

test: ## everything that must be green: parts, lint, unit, dashboard and alerts, race, end to end (under 20 minutes on two cores)
	@$(MAKE) parts
	@$(MAKE) lint
	@$(MAKE) unit
	@$(MAKE) monitoring
	@$(MAKE) race
	@$(MAKE) e2e
	@$(MAKE) chaos-test

lint: $(TOOLS)/golangci-lint ## golangci-lint and the rules of this tree
	$(call say,lint)
	@$(TOOLS)/golangci-lint run ./...
	@go test ./internal/lint
	$(call took,lint)

unit: ## tests of all packages but end to end
	$(call say,unit tests)
	@go test -timeout 10m $(UNIT)
	$(call took,unit tests)

monitoring: ## dashboard and alert rules against a running engine's /metrics, by Prometheus's own engine
	$(call say,dashboard and alerts)
	@$(FETCH) libchdb >/dev/null
	@cd internal/monitoring && go test -count=1 -timeout 8m ./...
	$(call took,dashboard and alerts)

race: ## tests of what runs at the same time, under the race detector, with costly checks on
	$(call say,race)
	@$(FETCH) cc
	@CGO_ENABLED=1 go test -race -timeout 10m $(RACE)
	$(call took,race)

e2e: ## end to end: real Kafka, the store in a process of its own, engines that are killed
	$(call say,end to end)
	@go test -count=1 -timeout 15m $(E2E)

chaos: ## kill, freeze, cut off and starve everything for MINUTES (60), then prove the ledger (SEED=..., BROKERS=1,3)
	$(call say,chaos)
	@mkdir -p bin && go build -o bin/chaos ./internal/chaos/run
	@bin/chaos --minutes $(MINUTES) --brokers $(BROKERS) $(if $(SEED),--seed $(SEED))

# The last stage of `make test`. The world of one broker is that of the renames.
chaos-test: ## two minutes of make chaos, and a fault at every rename of an insert
	$(call say,chaos)
	@go test -count=1 -timeout 5m ./internal/chaos/...
	@$(MAKE) chaos MINUTES=2 BROKERS=3
	$(call took,chaos)

sim: ## engines in a made-up world, SEEDS (500) of them; a failing seed is shrunk and printed
	@go test -c -o bin/sim.test ./engine/sim
	@cd engine/sim && exec ../../bin/sim.test -test.run '^TestSeeds$$' -test.timeout 60m -sim.seeds=$(SEEDS) -sim.report

fuzz: ## every fuzz target for FUZZTIME (30s) each; PKG=./engine/... for some
	@found=0; for dir in $$(go list -f '{{.Dir}}' $(PKG)); do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$$dir"/*_test.go 2>/dev/null || true); do \
			found=1; printf '\n== %s in %s\n' "$$target" ".$${dir#$(CURDIR)}"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
		done; \
	done; test $$found = 1 || { echo 'no fuzz target in $(PKG)'; exit 1; }

bench: build ## measure the whole pipe against real Kafka and the store (BENCHARGS=pipe)
	@$(FETCH) libchdb kafka >/dev/null
	@bin/wattline bench $(BENCHARGS)

bench-compare: $(TOOLS)/benchstat ## Go benchmarks of REF against the work tree (PKG, BENCH)
	@old=$$(mktemp -d); trap 'git worktree remove --force "$$old/tree"; rm -rf "$$old"' EXIT; \
	git worktree add --quiet --detach "$$old/tree" $(REF); \
	(cd "$$old/tree" && go test -run '^$$' -bench '$(BENCH)' -benchmem -count 10 $(PKG)) >"$$old/before"; \
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 10 $(PKG) >"$$old/after"; \
	$(TOOLS)/benchstat "$$old/before" "$$old/after"

pgo: build ## profile the pipe again for the compiler (cmd/wattline/default.pgo)
	@$(FETCH) libchdb kafka >/dev/null
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	bin/wattline bench pipe --runs 1 --profile "$$dir"; \
	go tool pprof -proto -output cmd/wattline/default.pgo "$$dir"/*.pprof

parts: ## get the ClickHouse engine and Apache Kafka into the user's cache
	$(call say,parts)
	@$(FETCH) libchdb kafka
	$(call took,parts)

parts-pin: ## write deploy/kafka/SHA256SUMS again after a change of deploy/kafka/pom.xml
	@$(FETCH) java mvn
	@libs=$$(mktemp -d); trap 'rm -rf "$$libs"' EXIT; \
	mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$$libs"; \
	(cd "$$libs" && LC_ALL=C sha256sum *.jar) >deploy/kafka/SHA256SUMS; \
	git diff --stat -- deploy/kafka

generate: ## make again what is made by go generate
	@go generate ./...

build: ## bin/wattline (the first time two minutes: with the profile all is compiled anew)
	@echo "building bin/wattline"; go build -trimpath -o bin/wattline ./cmd/wattline

fmt: $(TOOLS)/golangci-lint ## format all files
	@$(TOOLS)/golangci-lint fmt ./...

clean: ## remove bin; parts and tools stay in the cache
	@rm -rf bin

$(TOOLS)/golangci-lint:
	$(call say,building golangci-lint (once for each version; 2 to 3 minutes))
	@mkdir -p $(@D)
	@cd internal/tools && go build -ldflags='-s -w' -o $@.tmp github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $@.tmp $@
	$(call took,building golangci-lint)

$(TOOLS)/benchstat:
	@mkdir -p $(@D)
	@cd internal/tools && go build -o $@.tmp golang.org/x/perf/cmd/benchstat && mv $@.tmp $@
