# Each target is one plain command that also works by hand. `make test` is what CI runs.

CARGO ?= cargo
.DEFAULT_GOAL := help

.PHONY: help deps deps-test build up check lint test test-fast test-e2e bench doc fuzz clean

help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install what the build needs (Debian/Ubuntu; nothing when it is there)
	@scripts/deps build

deps-test: ## Install what the tests need
	@scripts/deps test

build: deps ## Build the release binaries
	$(CARGO) build --release --locked -p tidegate -p tidegate-provider-containerd --bin tidegate --bin tidegate-shim

up: build ## Build and run tidegate with the example functions
	@target/release/tidegate up -f examples/stack.yml

check: ## Fast type check of everything
	$(CARGO) check --workspace --all-targets --locked

lint: ## Format check and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: deps deps-test ## Everything that CI runs
	@scripts/test

bench: ## Run all benchmarks, some beside nginx and HAProxy; see docs/benchmarks.md
	@scripts/deps bench
	@$(MAKE) --no-print-directory build
	$(CARGO) build --release --locked -p tidegate-watchdog --bin fwatchdog
	@scripts/bench
	@scripts/bench-wake
	@scripts/bench-many
	$(CARGO) bench --locked --bench crossing
	$(CARGO) bench --locked -p tidegate-gateway --features bench --bench recording --bench queue
	$(CARGO) bench --locked -p tidegate-autoscaler
	$(CARGO) bench --locked -p tidegate-idler
	$(CARGO) bench --locked -p tidegate-simulator
	@scripts/bench-load --command target/release/tidegate
	@scripts/bench-containerd

doc: ## Build the API documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

clean: ## Remove build output
	$(CARGO) clean
