#!/usr/bin/env bash
# Reproduces the result of a policy that reads, of docs/performance.md: scripts/reproduce/reading.sh [FOLDER]
#
# Trains a policy for every ball from its sentence, into FOLDER (runs/reading): a quarter of an hour on two cores. An interrupted run
# continues. Prints success with wordings that were read in training and with those that were held out, from summary.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
run=${1:-runs/reading}
cargo build --release --quiet
arguments=(--instruction all --paraphrases training --obs state,instruction-embedding --set evaluation.paraphrases=all
  --set evaluation.n_episodes=400 --steps 640000 --out "$run")
if [ -d "$run" ]; then arguments=(--resume "$run"); fi
if ! python3 scripts/reproduce/is_complete.py "$run"; then cargo run --release --quiet -- train "${arguments[@]}" >&2; fi
exec python3 scripts/reproduce/reading.py "$run/summary.json"
