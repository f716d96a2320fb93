# Targets for people: demo, test, check, build. `make test` is what CI runs.
SHELL := /bin/bash
NODE_BIN := node_modules/.bin

.PHONY: all build check demo test generate format deps clean

all: build

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	touch $@

deps: node_modules/.installed
	scripts/dev/install-deps

build: node_modules/.installed
	node scripts/dev/build.mjs

generate: node_modules/.installed
	node --import tsx scripts/dev/generate.ts

format: node_modules/.installed
	$(NODE_BIN)/biome check --write .

check: deps
	$(NODE_BIN)/biome check --error-on-warnings .
	$(NODE_BIN)/tsc -p .
	node --import tsx scripts/dev/generate.ts --check
	shellcheck -x $$(scripts/dev/shell-files)

test: check build
	$(NODE_BIN)/vitest run

demo: deps build
	node --import tsx scripts/dev/demo.ts

clean:
	rm -rf dist .cache
