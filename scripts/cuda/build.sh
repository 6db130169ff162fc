#!/usr/bin/env bash
# Builds `sayso` with the feature `cuda`, on any x86-64 Linux machine: no card and no CUDA installation are needed. The program
# starts on machines without CUDA, too.
#
#   scripts/cuda/build.sh
#
# CUDA's compiler comes from NVIDIA's Python packages, into target/cuda/; an own one is taken from CUDA_HOME. Kernels are made for
# cards from CUDA_COMPUTE_CAP on (80: Ampere and later). The first build takes a quarter of an hour, most of it kernels.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/target/cuda
mkdir -p "$here"

if [ -z "${CUDA_HOME:-}" ]; then
  if [ ! -x "$here/python/bin/pip" ]; then
    python3 -m venv "$here/python"
  fi
  "$here/python/bin/pip" install --quiet --disable-pip-version-check -r scripts/cuda/requirements.txt
  CUDA_HOME=$(echo "$here"/python/lib/python3*/site-packages/nvidia/cu13)
fi
runtime=$(find "$CUDA_HOME/" -name libcudart_static.a -print -quit)
if [ -z "$runtime" ]; then
  echo "no libcudart_static.a below CUDA_HOME=$CUDA_HOME" >&2
  exit 2
fi
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13000}
python3 scripts/cuda/late_libraries.py "$here/late"
ln -sf "$runtime" "$here/late/libcudart.a"

# Joined with the flags of .cargo/config.toml, which an environment variable would replace.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
cargo build --release --features cuda --target-dir "$here/target" \
  --config "target.x86_64-unknown-linux-gnu.rustflags=['-L', 'native=$here/late']"
program=$here/target/release/sayso
if readelf --dynamic "$program" | grep NEEDED | grep -E 'cuda|cublas|curand|nvrtc'; then
  echo "the program needs CUDA to start: its libraries were found before the stand-ins" >&2
  exit 1
fi
echo "$program"
