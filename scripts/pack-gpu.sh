#!/usr/bin/env bash
# Packs what a machine with a graphics processor but without Rust needs to run `sayso`: the program, the Vulkan loader, and a
# script that finds the driver. Under 64 MiB.
#
#   scripts/pack-gpu.sh [sayso-gpu.tar.gz]
#
# There:  tar xzf sayso-gpu.tar.gz && sayso-gpu/run doctor && sayso-gpu/run bench gpu --out bench.json
set -euo pipefail
out=$(realpath -m "${1:-sayso-gpu.tar.gz}")
cd "$(dirname "$0")/.."
most=$((64 * 1024 * 1024))

cargo build --release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/sayso-gpu
mkdir "$folder"
cp "${CARGO_TARGET_DIR:-target}/release/sayso" "$folder/"

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
exec "$here/sayso" "$@"
RUN
chmod +x "$folder/run"
tar -C "$work" -czf "$out" sayso-gpu
size=$(stat -c %s "$out")
unpacked=$(du -sb "$folder" | cut -f1)
echo "$out: $size bytes packed, $unpacked unpacked"
if [ "$unpacked" -gt "$most" ]; then
  echo "more than 64 MiB unpacked" >&2
  exit 1
fi
