#!/usr/bin/env bash
# Installs the system packages that a fresh Debian 12 needs beside Rust; `.ci/run` calls it too.
#
#   scripts/install-debian.sh                   packages for building, training and testing
#   scripts/install-debian.sh vulkan            also a software Vulkan device, to test the GPU backend without a GPU
#   scripts/install-debian.sh vulkan opengl     also OpenGL without a display, for MuJoCo in the Python package's examples
#
#   g++                   C and C++ for the video encoder (openh264), the TLS of the model download (ring) and the suffix
#                         arrays of the tokenizer
#   mesa-vulkan-drivers   lavapipe, and the Vulkan loader
#   libegl1, libgl1-mesa-dri   EGL, and llvmpipe behind it
set -euo pipefail

packages=(g++)
for what in "$@"; do
  case "$what" in
    vulkan) packages+=(mesa-vulkan-drivers) ;;
    opengl) packages+=(libegl1 libgl1-mesa-dri) ;;
    *) echo "usage: $0 [vulkan] [opengl]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "nothing to install: ${packages[*]} present"
  exit 0
fi
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
