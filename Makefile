# `make help` lists what there is. `make demo` and `make test` bring what they need along: missing
# system packages come through apt (sudo only where not root), tools go into .tools/.

CARGO  ?= cargo
# Where cargo puts what it builds; the scripts read the same variable.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The end-to-end tests need podman, so they are a feature of their crate, and an agent that they can
# end at any point, which no release can be.
E2E    := --features mcp-e2e/podman,mcp-agent/failpoints
CHECKED := --workspace --all-targets $(E2E)

.DEFAULT_GOAL := help
.PHONY: help all build vet fmt lint check test kills fuzz demo bench docs deny proto-lint mcp mcp-agent deps clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

all: check mcp mcp-agent ## check, then both binaries in release mode

demo: deps ## set up, then the story from a definition file to a drift alert, on real podman
	$(CARGO) build --locked --release --package mcp --package mcp-agent
	@# What ends an agent on command is for tests: no release may know it.
	! grep --quiet --text MCP_FAILPOINTS $(TARGET)/release/mcp-agent
	scripts/demo.sh

test: deps ## set up, then every test, end-to-end tests included
	scripts/tools.sh registry
	$(CARGO) build --locked $(CHECKED)
	scripts/run-all-tests.sh --locked --workspace $(E2E)

fuzz: ## set up, then every fuzz target for a minute (FUZZ_SECONDS=60; some only: FUZZ="definition argv")
	scripts/packages.sh build fuzz
	scripts/fuzz.sh $(FUZZ)

kills: deps ## the long form: 500 SIGKILLs on real podman, 10,000 in the simulation (KILLS, SIM_KILLS)
	$(CARGO) build --locked $(CHECKED)
	SIM_KILLS=$(or $(SIM_KILLS),10000) $(CARGO) test --locked --package mcp-controller --test simulation kills
	KILLS=$(or $(KILLS),500) $(CARGO) test --locked --workspace $(E2E) --test kills -- --nocapture

check: ## the fast loop: format, lints, every test that needs no podman
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked $(CHECKED) -- -D warnings
	scripts/run-tests.sh --locked --workspace

build: ## everything, in debug mode
	$(CARGO) build --locked $(CHECKED)

vet: ## type-check everything
	$(CARGO) check --locked $(CHECKED)

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## format, clippy and shell scripts, no warnings allowed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked $(CHECKED) -- -D warnings
	scripts/packages.sh lint
	shellcheck scripts/*.sh .ci/run

docs: ## the API documentation, no warnings allowed
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

deny: ## dependencies: one TLS stack, licences, where they come from
	scripts/tools.sh deny
	.tools/bin/cargo-deny check --hide-inclusion-graph bans licenses sources

proto-lint: ## the protocol: names, and compatibility with the last release
	scripts/tools.sh buf
	scripts/proto-lint.sh

bench: deps ## medians and ratios beside plain podman (some only: BENCH="deploy death")
	scripts/private-podman.sh sweep
	$(CARGO) build --locked --release --package mcp --package mcp-agent
	$(CARGO) build --locked --release --package mcp-bench --package mcp-e2e
	MCP_E2E_MCP=$(TARGET)/release/mcp MCP_E2E_MCP_AGENT=$(TARGET)/release/mcp-agent \
		MCP_E2E_LYING_PODMAN=$(TARGET)/release/lying-podman \
		$(TARGET)/release/mcp-bench $(BENCH)

mcp: ## the CLI in release mode: target/release/mcp
	scripts/packages.sh build
	$(CARGO) build --locked --release --package mcp
	@echo "built $(TARGET)/release/mcp"

mcp-agent: ## the agent in release mode: target/release/mcp-agent
	scripts/packages.sh build
	$(CARGO) build --locked --release --package mcp-agent
	@echo "built $(TARGET)/release/mcp-agent"

deps: ## install missing system packages
	scripts/packages.sh build podman

clean: ## remove what was built and the tools
	$(CARGO) clean
	rm -rf .tools
