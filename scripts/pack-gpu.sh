#!/usr/bin/env bash
# Packs `sayso` for a machine with a GPU but without Rust: the program, the Vulkan loader, and a script that finds the
# drivers. At most 64 MiB. With --cuda, reward models run on NVIDIA GPUs (scripts/cuda/build.sh); the target machine must then
# have the libraries of CUDA 13: libcublas, libcublasLt, libcurand and libnvrtc.
#
#   scripts/pack-gpu.sh [--cuda] [sayso-gpu.tar.gz]
#
# On the target machine:  tar xzf sayso-gpu.tar.gz && sayso-gpu/run doctor && sayso-gpu/run bench gpu --out bench.json
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
  echo "no Vulkan loader found to pack: run scripts/install-debian.sh vulkan" >&2
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
  # The driver is installed without a manifest for the loader.
  printf '{"file_format_version":"1.0.0","ICD":{"library_path":"libGLX_nvidia.so.0","api_version":"1.3.0"}}\n' >"$here/nvidia_icd.json"
  export VK_DRIVER_FILES=$here/nvidia_icd.json
fi
# CUDA libraries from Python wheels, if the system has none.
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
  echo "the archive is larger than 64 MiB" >&2
  exit 1
fi
