#!/usr/bin/env bash
# Reproduces the tables of components in docs/performance.md: scripts/reproduce/components.sh
#
# Medians of criterion, about ten minutes: rendering, stepping of every environment, the bundled reward model, and PPO with
# Gymnasium's reward of CartPole. With a Python environment that has the package (`pip install ./python`), also stepping from Python.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Prints name and rate of every benchmark of criterion.
rates() {
  cargo bench --quiet --bench "$1" 2> /dev/null | awk '
    /^[a-z].*\// { name = $0; sub(/ +time:.*/, "", name) }
    /thrpt:/ { split($0, part, /[][]/); split(part[2], value, " "); print "| " name " | " value[3] " " value[4] " |" }'
}

printf '| measurement | rate |\n|---|---|\n'
rates rendering
rates stepping
printf '\nSteps until the mean return of PPO exceeds 475 with the rules and reward of Gymnasium:\n'
cargo run --release --quiet -p sayso-agents --example cart_pole_speed -- 81920 8
if python3 -c 'import sayso' 2> /dev/null; then
  printf '\nFrom Python:\n'
  python3 python/benches/stepping.py
fi
