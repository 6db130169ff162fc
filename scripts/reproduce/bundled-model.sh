#!/usr/bin/env bash
# Makes the bundled reward model from nothing: scripts/reproduce/bundled-model.sh [FOLDER]
#
# One command with one seed, at most 100 minutes on two cores; run it again to continue after an interruption. The model, with its
# model card, is then in FOLDER/model (pretrained/model), and is copied to assets/models/sayso-clip-64.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-pretrained}
if [ -f "$folder/pretrain.safetensors" ]; then
  cargo run --release -- pretrain --resume "$folder"
else
  cargo run --release -- pretrain --out "$folder"
fi
cp "$folder"/model/* assets/models/sayso-clip-64/
