#!/usr/bin/env bash
# Builds `sayso` with the feature `cuda` on any x86-64 Linux machine, without a GPU or a CUDA installation. The program also
# starts on machines without CUDA. Prints the path of the program.
#
#   scripts/cuda/build.sh
#
# CUDA's compiler is installed into target/cuda/ from NVIDIA's Python packages, unless CUDA_HOME names a toolkit. Kernels are
# compiled for GPUs of compute capability CUDA_COMPUTE_CAP or later (default 80, Ampere). The first build takes about 15
# minutes, most of it for kernels.
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
  echo "the program needs CUDA to start: it was linked to CUDA's libraries instead of the stubs" >&2
  exit 1
fi
echo "$program"
