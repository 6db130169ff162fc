#!/usr/bin/env bash
# Fuzzes the readers of files: scripts/fuzz.sh SECONDS [TARGET…]
#
# Runs each target (all of fuzz/fuzz_targets by default) for SECONDS on one core, starting from fuzz/corpus/TARGET and from files of
# the repository. A target fails on a panic, on an input that takes more than 10 s, and on more than 2 GB of memory; the input is
# then in fuzz/artifacts/TARGET. Afterwards the corpus is reduced to inputs that together reach the same code.
#
# Needs cargo-fuzz (`cargo install cargo-fuzz`), a C++ compiler and python3. The coverage flags are unstable options of rustc, which
# RUSTC_BOOTSTRAP allows on a stable toolchain.
set -euo pipefail

usage() { sed -n '2,9s/^# \?//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
seconds=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
targets=("$@")
if [ $# = 0 ]; then
  for source in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$source" .rs)"); done
fi
for target in "${targets[@]}"; do
  [ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "there is no target $target" >&2; exit 2; }
done

# As .cargo/config.toml, which RUSTFLAGS replaces.
export RUSTFLAGS="-C target-cpu=x86-64-v3" RUSTC_BOOTSTRAP=1 RAYON_NUM_THREADS=1
host=$(rustc -vV | sed -n 's/^host: //p')
cargo fuzz build --sanitizer none --target-dir fuzz/target
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Files of the repository that a target reads, into the folder $2.
seed() {
  local golden=rewards/tests/golden
  case $1 in
    config) cp assets/presets/*.toml "$2" ;;
    scene) cp fuzz/seeds/scene/*.toml "$2" ;;
    image) cp "$golden"/*.png fuzz/seeds/image/* "$2" ;;
    model_*) python3 fuzz/seeds/model.py "$1" "$2" ;;
  esac
}

status=0
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target program=fuzz/target/$host/release/$target seeds=$work/$target reduced=$work/reduced
  mkdir -p "$corpus" "fuzz/artifacts/$target" "$seeds" "$reduced"
  seed "$target" "$seeds"
  limits=(-rss_limit_mb=2048 -timeout=10 -max_len=20000 "-artifact_prefix=fuzz/artifacts/$target/")
  echo "== $target, $seconds s"
  "$program" "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 "$corpus" "$seeds" || status=1
  # The corpus is replaced only if the reduction came to its end.
  if "$program" "${limits[@]}" -set_cover_merge=1 -verbosity=0 "$reduced" "$corpus" "$seeds"; then
    rm -f "$corpus"/*
    cp "$reduced"/* "$corpus"
  else
    status=1
  fi
  rm -rf "$reduced"
done
exit "$status"
