#!/usr/bin/env bash
# Reproduces the training results of README.md and docs/performance.md: scripts/reproduce/trainings.sh [FOLDER]
#
# Trains the default preset for three goal prompts and three seeds, and the presets of GoTo-v1 and CartPole-v1, one run after the
# other, into FOLDER (runs/reproduce): nearly two hours on two cores. A run that is there already is not repeated, and an
# interrupted one continues. Prints the tables in Markdown, from each run's summary.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-runs/reproduce}
mkdir -p "$folder"
cargo build --release --quiet

# train NAME ARGUMENTS…: trains $folder/NAME unless it is complete; the seconds of the whole command are in NAME.secs.
train() {
  local run=$folder/$1 started=$SECONDS
  shift
  if python3 scripts/reproduce/is_complete.py "$run"; then return; fi
  if [ -d "$run" ]; then
    cargo run --release --quiet -- train --resume "$run" >&2
    return
  fi
  cargo run --release --quiet -- train --out "$run" "$@" >&2
  echo $((SECONDS - started)) > "$run.secs"
}

for seed in 0 1 2; do
  for colour in red green blue; do
    train "$colour-$seed" --goal-prompt "the gripper touching the $colour ball" --seed "$seed"
  done
done
train go-to --env GoTo-v1
train cart-pole --env CartPole-v1

exec python3 scripts/reproduce/trainings.py "$folder"
