#!/usr/bin/env bash
# Runs the peers and Sayso in turn on this machine and prints medians and ratios.
#
#   bash benches/peers/run.sh [ROUNDS]          3 rounds by default
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3}
venv=target/peers
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r benches/peers/requirements.txt
fi
cargo build --release --workspace --bench rates
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for _ in $(seq "$rounds"); do
  cargo bench --quiet --workspace --bench rates >>"$results"
  for peer in fetch_reach sb3_ppo clip_torch clip_onnx; do
    "$venv/bin/python" "benches/peers/$peer.py" >>"$results"
  done
done
"$venv/bin/python" benches/peers/table.py "$results"
