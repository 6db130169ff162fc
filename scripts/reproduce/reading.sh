#!/usr/bin/env bash
# Reproduces the result of a policy that reads, of docs/performance.md: scripts/reproduce/reading.sh [FOLDER]
#
# Trains a policy for every ball from its sentence, into FOLDER (runs/reading): a quarter of an hour on two cores. An interrupted run
# continues. Prints success with wordings that were read in training and with those that were held out, from summary.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
run=${1:-runs/reading}
cargo build --release --quiet
if [ -d "$run" ]; then
  cargo run --release --quiet -- train --resume "$run" >&2 || true
else
  cargo run --release --quiet -- train --instruction all --paraphrases training --obs state,instruction-embedding \
    --set evaluation.paraphrases=all --set evaluation.n_episodes=400 --steps 640000 --out "$run" >&2
fi
exec python3 scripts/reproduce/reading.py "$run/summary.json"
