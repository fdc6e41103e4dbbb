# Builds, runs, tests and checks Rondel. `make` alone lists what can be made.
#
# Two kinds of virtual environment are kept: .venv holds the release build and the linters, on the newest Python found;
# .venvs/cp3XX hold, for each Python found, the wheel that its tests run on.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SECONDARY: # keep the environments
.NOTPARALLEL: # cargo and the tests use all cores themselves
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON := .venv/bin/python
REPORTS := target/reports
# Rust tools that requirements/lint.txt installs are found as `cargo NAME`.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
pip_install = -m pip install --quiet --require-virtualenv

# The Pythons to test: all that are found, or `make test PY=3.13`.
tested = $(if $(PY),cp$(subst .,,$(PY)),$(shell scripts/pythons))

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

# --- Build -----------------------------------------------------------------------------------------------------------

.PHONY: build
build: .venv/.build ## Build for release; .venv/bin/python can import it
	@VIRTUAL_ENV=$(CURDIR)/.venv maturin develop --release --locked

.venv/.build: requirements/build.txt requirements/examples.txt
	@python=$$(scripts/pythons newest) && echo "Setting up .venv on $$python" && "$$python" -m venv --clear .venv
	@$(PYTHON) $(pip_install) -r requirements/build.txt -r requirements/examples.txt
	@touch $@

.venv/.lint: .venv/.build requirements/lint.txt requirements/test.txt requirements/bench.txt
	@echo "Installing the linters into .venv"
	@$(PYTHON) $(pip_install) -r requirements/lint.txt
	@touch $@

# --- Run -------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: build ## Run every example on Rondel, then compare asyncio, threads and processes
	@$(PYTHON) scripts/demo.py

# What is measured is the release build, beside the other contestants, on the Python of .venv or on PY=3.14.
measured = cp$(subst .,,$(or $(PY),$(shell "$$(scripts/pythons newest)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')))

.PHONY: bench
bench: bench-$(measured) ## Measure event loops side by side; QUICK=1 takes minutes, GOALS=1 half an hour, BENCH="--help" has all

bench-cp3%: .venvs/bench-cp3%/.bench .venv/.build
	@rm -rf target/bench-cp3$*
	@maturin build --quiet --release --locked --interpreter $(<D)/bin/python --out target/bench-cp3$*
	@$(<D)/bin/python $(pip_install) --force-reinstall --no-deps target/bench-cp3$*/*.whl
	@cargo build --quiet --locked --release --package rondel-load --bins --examples
	@$(<D)/bin/python -m benches $(if $(QUICK),--quick) $(if $(GOALS),--goals) $(BENCH)

# A contestant that has no wheel for this Python is missing from the results, which say so.
.venvs/bench-cp3%/.bench: requirements/bench.txt requirements/contestants.txt requirements/examples.txt
	@python=$$(scripts/pythons cp3$*) && echo "Setting up $(@D) on $$python" && "$$python" -m venv --clear $(@D)
	@$(@D)/bin/python $(pip_install) -r requirements/bench.txt
	@while read -r contestant; do \
		$(@D)/bin/python $(pip_install) --only-binary :all: "$$contestant" 2>/dev/null || echo "no wheel of $$contestant"; \
	done < requirements/contestants.txt
	@touch $@

# --- Test ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: ## Run all tests, on every Python found (or PY=3.13), and the lints
	@rm -rf $(REPORTS)
	@mkdir -p $(REPORTS)
	@status=0; \
	$(MAKE) --keep-going test-rust test-python conformance soak lint 2>&1 | tee $(REPORTS)/all.txt || status=$$?; \
	sed -n 's/^make.*\*\*\* \[[^ ]* \(.*\)\] .*/FAILED: make \1/p' $(REPORTS)/all.txt; \
	$(PYTHON) scripts/closing_lines.py $(REPORTS) || status=$$?; \
	exit $$status

.PHONY: test-rust
test-rust: .venv/.lint ## Run the Rust tests and the examples in the documentation
	@mkdir -p $(REPORTS)
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --locked --workspace --exclude rondel-python; \
	else \
		cargo test --locked --workspace --exclude rondel-python --all-targets --no-fail-fast; \
	fi 2>&1 | tee $(REPORTS)/rust.log
	@cargo test --locked --workspace --exclude rondel-python --doc --no-fail-fast 2>&1 | tee $(REPORTS)/rust-doc.log

.PHONY: test-python
test-python: $(addprefix test-,$(tested)) ## Run the Python tests on every Python found (or PY=3.13)

.PHONY: frameworks
frameworks: override PYTEST += tests/frameworks
frameworks: test-python ## Run real frameworks against real servers, on every Python found (or PY=3.13)

# What the tests run on is as fast as a release and checks itself: debug assertions, arithmetic overflow. One target
# folder a Python, since PyO3 is compiled anew whenever the Python changes.
wheel-cp3%: wheel_env = CARGO_TARGET_DIR=target/cp3$* \
	CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
wheel-cp3%: venv = .venvs/cp3$*
wheel-cp3%: .venvs/cp3%/.test .venv/.build
	@rm -rf target/cp3$*/wheels
	@$(wheel_env) maturin build --release --locked --interpreter $(venv)/bin/python --out target/cp3$*/wheels
	@$(venv)/bin/python $(pip_install) --force-reinstall --no-deps target/cp3$*/wheels/*.whl

# Of several Pythons the last has everything; the others leave out what hardly depends on the Python: all but a share of
# the random rounds, frameworks and examples on asyncio's loop, which prove the tests, and tests of the tests' own tools.
test-cp3%: sample = $(if $(filter cp3$*,$(lastword $(tested))),,RONDEL_TESTS_SAMPLE=1)
test-cp3%: wheel-cp3%
	@mkdir -p $(REPORTS)
	@cargo build --quiet --locked --package rondel-load
	@$(sample) .venvs/cp3$*/bin/python -X dev -W error -m pytest $(PYTEST) 2>&1 | tee $(REPORTS)/cp3$*.log

.PHONY: conformance
conformance: $(addprefix conformance-,$(tested)) ## Run CPython's own asyncio tests on Rondel (all Pythons, or PY=3.13)

# Options of the judge, as `make conformance PY=3.13 JUDGE="test_events -k '*sendfile*'"`, and of that of executors, as
# EXECUTORS="processes --start-method spawn".
conformance-cp3%: wheel-cp3%
	@mkdir -p $(REPORTS)
	@cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -m conformance $(JUDGE) 2>&1 | tee ../$(REPORTS)/conformance-cp3$*.log
	@cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -m executor_conformance $(EXECUTORS) 2>&1 | tee ../$(REPORTS)/executors-cp3$*.log
	@[[ $* -gt 13 ]] || { cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -m conformance.native_tasks 2>&1 | \
		tee ../$(REPORTS)/native-tasks-cp3$*.log; }
	@cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -m conformance.synchronisation 2>&1 | \
		tee ../$(REPORTS)/synchronisation-cp3$*.log

# On one Python, the newest that is tested.
MINUTES := 2
.PHONY: soak
soak: soak-$(lastword $(tested)) ## Put mixed load on Rondel and see that it keeps nothing; MINUTES=30, PY=3.13

soak-cp3%: wheel-cp3%
	@mkdir -p $(REPORTS)
	@cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -W error -m soak --minutes $(MINUTES) $(SOAK) 2>&1 | tee ../$(REPORTS)/soak.log

.venvs/cp3%/.test: requirements/frameworks.txt requirements/past_one_machine.txt requirements/test.txt requirements/examples.txt
	@python=$$(scripts/pythons cp3$*) && echo "Setting up .venvs/cp3$* on $$python" && "$$python" -m venv --clear $(@D)
	@$(@D)/bin/python $(pip_install) -r requirements/frameworks.txt
	@touch $@

.PHONY: kills
kills: override PYTEST += tests/test_process_pool.py -k killing_workers
kills: export RONDEL_KILLS = 1000
kills: test-$(lastword $(tested)) ## Kill a worker process under load a thousand times, and see that no other call is lost

.PHONY: endings
endings: endings-$(lastword $(tested)) ## End pools in every state and every way, and see that it takes a second at most and leaves nothing

endings-cp3%: wheel-cp3%
	@cd tests && $(CURDIR)/.venvs/cp3$*/bin/python -W error -m pool_endings

.PHONY: newer-pythons
newer-pythons: .venv/.build requirements/newer_pythons.txt ## Bring Python 3.14 and 3.15 from Debian, for the tests
	@$(PYTHON) $(pip_install) -r requirements/newer_pythons.txt
	@scripts/newer_pythons

# --- Check -----------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: lint-rust lint-dependencies lint-rooms lint-python lint-types lint-stubs ## Check format, lints, types, stubs, licences

.PHONY: lint-rust
lint-rust: .venv/.lint ## Check the Rust code: rustfmt, clippy, rustdoc
	cargo fmt --all --check
	PYO3_PYTHON=$(CURDIR)/$(PYTHON) cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	@# As a free-threaded Python would have it compiled, of which none need be here.
	PYO3_CONFIG_FILE=$(CURDIR)/.config/pyo3-free-threaded.txt CARGO_TARGET_DIR=target/free-threaded \
		cargo clippy --locked --package rondel-python --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --exclude rondel-python --no-deps --quiet

.PHONY: lint-dependencies
lint-dependencies: .venv/.lint ## Check the crates used: licences, bans, sources, advisories
	cargo deny --locked --log-level error check --hide-inclusion-graph bans licenses sources
	@if timeout 60 cargo deny --locked --log-level off fetch db >/dev/null 2>&1; then \
		cargo deny --locked --log-level error check --disable-fetch advisories; \
	else \
		echo "advisories not checked: their database cannot be fetched from here"; \
	fi

.PHONY: lint-rooms
lint-rooms: .venv/.build ## Check that each room of the house keeps to its rules
	$(PYTHON) scripts/rooms.py

.PHONY: lint-python
lint-python: .venv/.lint ## Check the Python code: ruff
	ruff check --quiet
	ruff format --check --quiet

.PHONY: lint-types
lint-types: .venv/.lint ## Check the types, for the oldest and the newest Python: mypy
	mypy --python-version 3.11
	mypy --python-version 3.15
	mypy --python-version 3.15 --no-warn-unused-ignores $(addprefix --disable-error-code=,$(wrong_on_purpose)) tests

# Tests pass wrong types, and use what some Pythons lack, to see what happens.
wrong_on_purpose = arg-type assignment attr-defined call-arg call-overload comparison-overlap \
	func-returns-value has-type misc no-untyped-call unused-coroutine var-annotated

.PHONY: lint-stubs
lint-stubs: .venv/.lint build ## Check that the stubs say what the native module does
	$(PYTHON) -m mypy.stubtest rondel._rondel

.PHONY: format
format: .venv/.lint ## Format the Rust and the Python code
	cargo fmt --all
	ruff check --fix --quiet || true
	ruff format --quiet

# --- Tidy ------------------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## Remove all that was built, set up or generated
	rm -rf target build dist .venv .venvs .pythons examples/data python/rondel/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find python tests examples benches scripts -name __pycache__ -prune -exec rm -rf {} +
