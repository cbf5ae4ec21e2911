# Appspan: `make` or `make help` lists the targets. They need Go, git, make and a C compiler (RACE= does without one).

SHELL = /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO          ?= go
RACE        ?= -race
CLUSTERS    ?= 3
FUZZTIME    ?= 10s
COUNT       ?= 5
PACKAGES    ?= ./...
SEED        := $(or $(SEED),$(shell date +%s))
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Runs a command with real control planes: APPSPAN_RIG_KUBECONFIG names a kubeconfig with the contexts rig-1, rig-2, …
RIG = $(GO) -C internal/rig run ./cmd/rig exec -clusters $(CLUSTERS) $(RIGFLAGS) -C ../.. --

# Packages of the main module whose tests meet a pattern: so that only these are built for it.
packages = $(sort $(dir $(shell git grep -lE '$(1)' -- '*_test.go' ':!internal/rig' ':!internal/lint')))
rig_packages  = $(addprefix ./,$(call packages,APPSPAN_RIG_KUBECONFIG))
fuzz_packages = $(addprefix ./,$(call packages,^func Fuzz))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: vet unit rig ## everything that must pass: vet, units and fakes with -race, then the suites on real control planes

.PHONY: vet
vet: ## gofmt and go vet, of both modules
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not gofmted (run gofmt -w on them):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) -C internal/rig vet ./...

# Packages with tests that pass over themselves under the race detector, and say why.
unraced = $(addprefix ./,$(call packages,^const racing))

.PHONY: unit
unit: ## units, fakes and architecture rules, shuffled, with -race
	$(GO) test $(RACE) -shuffle=on -timeout 25m ./...
	$(if $(RACE),$(GO) test -shuffle=on -timeout 25m $(unraced))

.PHONY: rig
rig: ## the rig's own tests, the console in a Chromium, then every TestRig on real control planes (built once, about six minutes)
	$(GO) -C internal/rig test -count=1 -timeout 20m ./...
	$(if $(rig_packages),$(RIG) $(GO) test -p 1 -count=1 -run TestRig -timeout 15m $(rig_packages),@echo "no tests on real control planes")

.PHONY: soak
soak: ## the same with the big counts, of all PACKAGES; the log goes to docs/soak
	@mkdir -p docs/soak; commit=$$(git describe --always --dirty); \
	log=docs/soak/$$(date -u +%F)-$$commit.log; raw=$$(mktemp); trap 'rm -f "$$raw"' EXIT; \
	echo "soak: seed $(SEED), follow it in $$raw"; status=0; \
	{ echo "commit $$commit"; echo "seed   $(SEED)"; echo "count  $(COUNT)"; echo "packages $(PACKAGES)"; echo "begun  $$(date -u +%FT%TZ)"; $(GO) version; echo; \
	  APPSPAN_SOAK=1 APPSPAN_SEED=$(SEED) $(MAKE) --no-print-directory soak-run SEED=$(SEED); } >"$$raw" 2>&1 || status=$$?; \
	{ echo; echo "ended  $$(date -u +%FT%TZ), exit status $$status"; } >>"$$raw"; \
	sed -e 's,$(CURDIR),.,g' -e "s,$$HOME,~,g" "$$raw" >"$$log"; \
	tail -n 20 "$$log"; echo "soak: log in $$log"; exit $$status

.PHONY: soak-run
soak-run:
	$(GO) test $(RACE) -shuffle=$(SEED) -count=$(COUNT) -timeout 4h $(PACKAGES)
	$(if $(and $(RACE),$(filter ./...,$(PACKAGES))),$(GO) test -shuffle=$(SEED) -timeout 4h $(unraced))
	$(if $(filter ./...,$(PACKAGES)),$(if $(rig_packages),$(RIG) $(GO) test -p 1 -shuffle=$(SEED) -count=$(COUNT) -run TestRig -timeout 4h $(rig_packages)))

.PHONY: bench
bench: CLUSTERS = 1
bench: ## compare with peers on real control planes, bare and with controllers; prints medians, spreads and ratios
	$(GO) -C internal/rig build -o $(CURDIR)/bin/bench ./cmd/bench
	$(GO) -C internal/rig run ./cmd/rig exec -clusters 1 -profile bare -with helm -C ../.. -- bin/bench $(BENCHFLAGS)
	$(GO) -C internal/rig run ./cmd/rig exec -clusters 1 -nodes 4 -with helm -C ../.. -- bin/bench -profile full $(BENCHFLAGS)

.PHONY: lint
lint: ## architecture rules and staticcheck, of both modules
	$(GO) test -count=1 ./internal/lint
	$(GO) run $(STATICCHECK) ./...
	cd internal/rig && $(GO) run $(STATICCHECK) ./...

.PHONY: lint-update
lint-update: ## rewrite the golden lists of exported surface (api) and linked modules; review the diff
	$(GO) test -count=1 -run 'TestRepository/.*golden' ./internal/lint -update
	@git status --short api internal/lint/testdata

.PHONY: console
console: ## build the console of the reference server anew (needs npm); commit refserver/console/dist
	cd refserver/console && npm ci --no-audit --no-fund && npm run build

.PHONY: fuzz
fuzz: ## every fuzzer for FUZZTIME (10s) each
	@for package in $(fuzz_packages); do \
		for fuzzer in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "== $$package $$fuzzer"; \
			$(GO) test -run '^$$' -fuzz "^$$fuzzer\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done
