#!/usr/bin/env bash
# Compares the speed of two builds: scripts/compare-builds.sh A B [ROUNDS]
#
# A and B are commits, or folders with a checkout each. Both are built, then their benches run in turn (A B A B ...) for
# ROUNDS rounds (7). The table has the median rate of each figure and the median of the ratios B/A, round by round, which
# holds when the machine's speed drifts. Figures are matched by their order, as their names may differ between builds.
# At last both train the main job for 8,192 steps: all metrics but times must be identical to the bit.
#
# Exit status: 0; 1 if a ratio is below MIN_RATIO (0.95) or the metrics differ.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,10s/^# \?//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${3:-7}
min_ratio=${MIN_RATIO:-0.95}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
work=$CARGO_TARGET_DIR/compare-builds
rm -rf "$work"
mkdir -p "$work"
trap 'git -C "$root" worktree prune' EXIT

# Builds $2 (a commit or a folder) and keeps its programs in $work/$1.
build() {
  local folder=$2
  mkdir -p "$work/$1"
  if [ ! -d "$folder" ]; then
    folder=$work/$1/checkout
    git -C "$root" worktree add --quiet --detach "$folder" "$2"
  fi
  echo "building $1: $2" >&2
  (
    cd "$folder"
    cargo build --quiet --release --package sayso
    cp "$CARGO_TARGET_DIR/release/sayso" "$work/$1/sayso"
    rates=$(cargo bench --quiet --no-run --bench rates --message-format json |
      sed -n 's/.*"name":"rates".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    cp "$rates" "$work/$1/rates"
  )
}

# Appends one line a figure to $work/$1/figures: ROUND INDEX RATE NAME
measure() {
  local out=$work/$1
  "$out/rates" | awk -v round="$2" '{ print round, NR, $2, $1 }' >> "$out/figures"
  "$out/sayso" bench gpu --quiet --device cpu --sizes 64 --views 64 --towers b32 --images 32 --envs 64 --window 0.4 \
    --out "$out/bench.json" > "$out/bench.log" 2>&1
  tr -d '\n' < "$out/bench.json" | grep -oE '"what": *"[^"]*"|"rate": *[0-9.e+-]+' |
    awk -v round="$2" '
      /^"what"/ { sub(/^"what": *"/, ""); sub(/"$/, ""); name = $0 }
      /^"rate"/ { sub(/^"rate": */, ""); n++; print round, 100 + n, $0, name }
    ' >> "$out/figures"
}

# Every metric of an 8,192-step main job but times, one line an update.
metrics() {
  "$work/$1/sayso" train --quiet --steps 8192 --out "$work/$1/run" > "$work/$1/run.log" 2>&1
  sed -E 's/"time\/[a-z_]+":[^,}]*,?//g' "$work/$1/run/metrics.jsonl"
}

build A "$1"
build B "$2"
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  measure A "$round"
  measure B "$round"
done

awk -v min_ratio="$min_ratio" '
  function median(values, n,    i, j, t) {
    for (i = 2; i <= n; i++)
      for (j = i; j > 1 && values[j] < values[j - 1]; j--) { t = values[j]; values[j] = values[j - 1]; values[j - 1] = t }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  {
    key = $1 " " $2
    rate[FILENAME == ARGV[1] ? "A" : "B", key] = $3
    if (FILENAME != ARGV[1]) {
      name = $4
      for (i = 5; i <= NF; i++) name = name " " $i
      if (!($2 in names)) order[++n_figures] = $2
      names[$2] = name
      if ($1 > n_rounds) n_rounds = $1
    }
  }
  END {
    printf "%-74s %12s %12s %7s  %s\n", "figure", "A", "B", "B/A", "range"
    for (f = 1; f <= n_figures; f++) {
      n = 0
      for (r = 1; r <= n_rounds; r++) {
        a = rate["A", r " " order[f]]; b = rate["B", r " " order[f]]
        if (a > 0 && b > 0) { n++; as[n] = a; bs[n] = b; ratios[n] = b / a }
      }
      if (n == 0) { printf "%-74s %s\n", names[order[f]], "not in both builds"; continue }
      ratio = median(ratios, n)
      printf "%-74s %12.1f %12.1f %7.3f  %.3f to %.3f\n", names[order[f]], median(as, n), median(bs, n), ratio, ratios[1], ratios[n]
      if (ratio < min_ratio) slow++
    }
    if (slow) { printf "%d figures are below %s\n", slow, min_ratio; exit 1 }
  }
' "$work/A/figures" "$work/B/figures" && status=0 || status=$?

metrics A > "$work/A/metrics"
metrics B > "$work/B/metrics"
if cmp -s "$work/A/metrics" "$work/B/metrics"; then
  echo "main job, 8192 steps: metrics are bit-identical"
else
  echo "main job, 8192 steps: metrics differ:"
  diff "$work/A/metrics" "$work/B/metrics" | head -n 4
  status=1
fi
exit "$status"
