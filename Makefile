# Everything one does with the sources. Needs Node >= 20, npm and make; `npm ci` then brings the pinned Node 26
# (package `node`), which every command below finds first on PATH.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

# The stamp is a copy of the lock file: a touched or checked-out lock file with the same content installs nothing.
INSTALLED := node_modules/.installed-lock.json
SOURCES := $(shell find src -name '*.ts' 2>/dev/null)
GENERATORS := $(wildcard scripts/generate-*.ts)
CHECKS := check-types check-style check-imports check-files check-docs

##@ Use
help: ## list every target
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

demo: bin ## build, run a worker on real work, print the merged result
	@node scripts/demo.ts $(DEMO_ARGS)

bench: bin ## measure throughput, latency, start-up and memory; prints one table
	@node bench/run.ts $(BENCH_ARGS)

##@ Build
install-deps: $(INSTALLED) ## npm ci, when the lock file changed

bin: dist/umbel ## dist/umbel: one executable with Node inside

lib: dist/npm/package.json ## dist/npm/ and dist/umbel-VERSION.tgz: the npm package (types, client, task, canvas)

manuals: $(INSTALLED) ## dist/manual/: manual pages, completions for bash, zsh and fish
	@node scripts/write-manuals.ts

install: bin ## below DESTDIR, with PREFIX=/usr/local and SYSCONFDIR=/etc
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' node scripts/package.ts install

tarball: bin ## dist/umbel-VERSION-linux-ARCH.tar.gz and SHA256SUMS
	@node scripts/package.ts tarball

deb: bin ## dist/umbel_VERSION_ARCH.deb and SHA256SUMS
	@node scripts/package.ts deb

release: test reproducible lib deb tarball ## everything that must hold, then the archives and dist/SHA256SUMS

reproducible: $(INSTALLED) ## two clones of what is committed give the same executable and archives (some minutes)
	@node scripts/check-reproducible.ts

clean: ## remove what the build made (node_modules stays)
	rm -rf dist .tap/processinfo .tap/test-results .tap/run

##@ Work
check: $(CHECKS) ## types, style, import rule, file rules, generated docs

test: $(INSTALLED) ## all checks and all tests (TEST='test/pool/*.test.ts' for some)
	@node scripts/test.ts $(TEST)

fmt: $(INSTALLED) ## format and sort imports
	biome check --write

docs: $(INSTALLED) ## write the generated pages and config.example.toml again
	@for generator in $(GENERATORS); do node "$$generator"; done

check-types: $(INSTALLED) ## tsc, strict
	tsc -p .

check-style: $(INSTALLED) ## biome: format and lint
	biome check

check-imports: $(INSTALLED) ## levels, one importer per package, no barrels
	node scripts/check-imports.ts

check-files: $(INSTALLED) ## sizes, headers, reading path, lock file, nothing of this machine committed
	node scripts/check-files.ts
	node scripts/complete-lock.ts --check

check-docs: $(INSTALLED) ## generated files are current
	@status=0; for generator in $(GENERATORS); do node "$$generator" --check || status=1; done; exit $$status

$(INSTALLED): package-lock.json
	@if cmp -s package-lock.json $@; then touch $@; else \
	  npm ci --no-audit --no-fund --loglevel=error && tap build >/dev/null && cp package-lock.json $@; fi

dist/umbel: $(INSTALLED) $(SOURCES) package.json scripts/build-binary.ts
	@node scripts/build-binary.ts $@

dist/npm/package.json: $(INSTALLED) $(SOURCES) package.json scripts/build-library.ts tsconfig.json
	@node scripts/build-library.ts dist/npm

.PHONY: help demo bench install-deps bin lib manuals install tarball deb release reproducible clean check test fmt docs $(CHECKS)
