#!/usr/bin/env bash
# Compares the speed of two builds: scripts/compare-builds.sh A B [ROUNDS]
#
# A and B are commits, or folders with a checkout each. Both are built, then their benches run in alternating order for
# ROUNDS rounds (7). The table has the median rate of each figure and the median over the rounds of the ratio B/A, which is
# reliable when the machine's speed drifts. Figures are matched by their order, as their names may differ between builds.
# The programs of a commit are kept in target/compare-builds, so that the next comparison with it builds one side only.
# Finally both train the default run for 8,192 steps: all metrics except times must be bit-identical.
#
# Exit status: 0; 1 if a ratio is below MIN_RATIO (0.95), a figure is missing, or the metrics differ; 2 for bad arguments.
set -euo pipefail

usage() { sed -n '2,10s/^# \?//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] && [[ ${3:-7} =~ ^[1-9][0-9]*$ ]] || usage
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${3:-7}
min_ratio=${MIN_RATIO:-0.95}
# Outside the repository, so that a checkout of an old commit does not inherit the present .cargo/config.toml.
work=$(mktemp -d)

finish() {
  for side in A B; do
    if [ -d "$work/$side/checkout" ]; then git -C "$root" worktree remove --force "$work/$side/checkout"; fi
  done
  rm -rf "$work"
}
trap finish EXIT
trap 'echo "failed; the last output:" >&2; tail -n 20 "$work"/*/log >&2 || true' ERR

# Builds $2 (a commit or a folder) and keeps its programs in $work/$1. Each side has its own target folder.
build() {
  local folder kept='' side=$work/$1
  mkdir -p "$side"
  if git -C "$root" rev-parse --quiet --verify "$2^{commit}" > "$side/commit"; then
    kept=$root/target/compare-builds/$(cat "$side/commit")
    if [ -x "$kept/rates" ] && [ -x "$kept/sayso" ]; then
      cp "$kept/rates" "$kept/sayso" "$side"
      return
    fi
    folder=$side/checkout
    git -C "$root" worktree add --quiet --detach "$folder" "$(cat "$side/commit")"
  elif [ -f "$2/Cargo.toml" ]; then
    folder=$(cd "$2" && pwd)
  else
    echo "$2 is neither a commit nor a checkout" >&2
    exit 2
  fi
  echo "building $1: $2" >&2
  (
    cd "$folder"
    export CARGO_TARGET_DIR=$side/target
    cargo build --quiet --release --package sayso
    rates=$(cargo bench --quiet --no-run --bench rates --message-format json-render-diagnostics |
      sed -n 's/.*"name":"rates".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    cp "$rates" "$side/rates"
    cp "$side/target/release/sayso" "$side/sayso"
    rm -rf "$side/target"
  )
  if [ -n "$kept" ]; then
    mkdir -p "$kept"
    cp "$side/rates" "$side/sayso" "$kept"
  fi
}

# Appends one line per figure to $work/$1/figures: ROUND INDEX RATE NAME; the rate of a skipped figure is 0.
measure() {
  local side=$work/$1
  "$side/rates" > "$side/log" 2>&1
  awk -v round="$2" '{ print round, NR, $2, $1 }' "$side/log" >> "$side/figures"
  "$side/sayso" bench gpu --quiet --device cpu --sizes 64 --views 64 --towers b32 --images 32 --envs 64 --window 0.4 \
    --out "$side/bench.json" > "$side/log" 2>&1
  tr -d '\n' < "$side/bench.json" | grep -oE '"what": *"[^"]*"|"rate": *[0-9.e+-]+' |
    awk -v round="$2" '
      function flush() { if (name != "") print round, 100 + n, rate, name }
      /^"what"/ { flush(); sub(/^"what": *"/, ""); sub(/"$/, ""); name = $0; rate = 0; n++ }
      /^"rate"/ { sub(/^"rate": */, ""); rate = $0 }
      END { flush() }
    ' >> "$side/figures"
}

# Every metric of an 8,192-step training except times, one line per update.
metrics() {
  local side=$work/$1
  "$side/sayso" train --quiet --device cpu --steps 8192 --out "$side/run" > "$side/log" 2>&1
  sed -E 's/"time\/[a-z_]+":[^,}]*,?//g' "$side/run/metrics.jsonl" > "$side/metrics"
}

build A "$1"
build B "$2"
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  # The second program of a pair may run on a warmer processor, so the order alternates.
  if [ $((round % 2)) = 1 ]; then sides="A B"; else sides="B A"; fi
  for side in $sides; do measure "$side" "$round"; done
done
metrics A
metrics B

status=0
awk -v min_ratio="$min_ratio" '
  function median(values, n,    i, j, t) {
    for (i = 2; i <= n; i++)
      for (j = i; j > 1 && values[j] < values[j - 1]; j--) { t = values[j]; values[j] = values[j - 1]; values[j - 1] = t }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  {
    side = FILENAME == ARGV[1] ? "A" : "B"
    rate[side, $1, $2] = $3
    name = $4
    for (i = 5; i <= NF; i++) name = name " " $i
    if (!($2 in names)) order[++n_figures] = $2
    names[$2] = name
    if ($1 > n_rounds) n_rounds = $1
  }
  END {
    printf "%-74s %12s %12s %7s  %s\n", "figure", "A", "B", "B/A", "range"
    for (f = 1; f <= n_figures; f++) {
      n = 0
      for (r = 1; r <= n_rounds; r++) {
        a = rate["A", r, order[f]]; b = rate["B", r, order[f]]
        if (a > 0 && b > 0) { n++; as[n] = a; bs[n] = b; ratios[n] = b / a }
      }
      if (n == 0) { printf "%-74s %s\n", names[order[f]], "not measured in both builds"; bad++; continue }
      ratio = median(ratios, n)
      printf "%-74s %12.1f %12.1f %7.3f  %.3f to %.3f\n", names[order[f]], median(as, n), median(bs, n), ratio, ratios[1], ratios[n]
      if (ratio < min_ratio) bad++
    }
    if (bad) { printf "%d figures are missing or below %s\n", bad, min_ratio; exit 1 }
  }
' "$work/A/figures" "$work/B/figures" || status=1

if cmp -s "$work/A/metrics" "$work/B/metrics"; then
  echo "default training run, 8192 steps: metrics are bit-identical"
else
  echo "default training run, 8192 steps: metrics differ:"
  diff "$work/A/metrics" "$work/B/metrics" | head -n 4 || true
  status=1
fi
exit "$status"
