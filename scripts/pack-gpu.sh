#!/usr/bin/env bash
# Packs what a machine with a graphics processor but without Rust needs to run `sayso`: the program, the Vulkan loader, and a
# script that finds the drivers. Under 64 MiB. With --cuda the program judges on NVIDIA cards (scripts/cuda/build.sh); that
# machine then has CUDA 13's own libraries: libcublas, libcublasLt, libcurand and libnvrtc.
#
#   scripts/pack-gpu.sh [--cuda] [sayso-gpu.tar.gz]
#
# There:  tar xzf sayso-gpu.tar.gz && sayso-gpu/run doctor && sayso-gpu/run bench gpu --out bench.json
set -euo pipefail
with_cuda=
if [ "${1:-}" = --cuda ]; then
  with_cuda=yes
  shift
fi
out=$(realpath -m "${1:-sayso-gpu.tar.gz}")
cd "$(dirname "$0")/.."
most=$((64 * 1024 * 1024))

if [ -n "$with_cuda" ]; then
  scripts/cuda/build.sh
  program=target/cuda/target/release/sayso
else
  cargo build --release
  program=${CARGO_TARGET_DIR:-target}/release/sayso
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/sayso-gpu
mkdir "$folder"
cp "$program" "$folder/sayso"
strip "$folder/sayso"

loader=$(ldconfig -p | awk '/libvulkan\.so\.1 .*x86-64/ { print $NF; exit }')
if [ -z "$loader" ]; then
  echo "no Vulkan loader here to pack: scripts/install-debian.sh vulkan" >&2
  exit 2
fi
cp -L "$loader" "$folder/libvulkan.so.1"

cat >"$folder/run" <<'RUN'
#!/usr/bin/env bash
# Runs sayso with the packed Vulkan loader and this machine's own driver.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if [ -z "${VK_DRIVER_FILES:-}" ]; then
  for file in /usr/share/vulkan/icd.d/nvidia_icd*.json /etc/vulkan/icd.d/nvidia_icd*.json; do
    [ -e "$file" ] && export VK_DRIVER_FILES=$file && break
  done
fi
if [ -z "${VK_DRIVER_FILES:-}" ] && ldconfig -p | grep -q libGLX_nvidia.so.0; then
  # The driver is there and nothing says so to the loader.
  printf '{"file_format_version":"1.0.0","ICD":{"library_path":"libGLX_nvidia.so.0","api_version":"1.3.0"}}\n' >"$here/nvidia_icd.json"
  export VK_DRIVER_FILES=$here/nvidia_icd.json
fi
# CUDA's libraries as Python's wheels bring them, where the system has none of its own.
if ! ldconfig -p | grep -q libcublas.so.13; then
  wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
  for folder in "$wheels/cu13/lib" /usr/local/cuda-13*/lib64 /usr/local/cuda/lib64; do
    [ -e "$folder/libcublas.so.13" ] && export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$folder && break
  done
fi
exec "$here/sayso" "$@"
RUN
chmod +x "$folder/run"
tar -C "$work" -czf "$out" sayso-gpu
size=$(stat -c %s "$out")
unpacked=$(du -sb "$folder" | cut -f1)
echo "$out: $size bytes packed, $unpacked unpacked"
if [ "$size" -gt "$most" ]; then
  echo "more than 64 MiB" >&2
  exit 1
fi
