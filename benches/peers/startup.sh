#!/usr/bin/env bash
# How long the commands take that people wait for: `--help` (aim: 8 ms) and `validate` on the demo set (aim: 30 ms).
# `true` beside them shows what starting any program costs here.   BENCH_RUNS=30   how often each is started
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

need_cargo
tools_folder
BKUP=$(bkup_built)
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for _ in $(seq "${BENCH_RUNS:-30}"); do
  python benches/peers/measure.py "$results" "true" /bin/true
  python benches/peers/measure.py "$results" "bkup --help" "$BKUP" --help >/dev/null
  python benches/peers/measure.py "$results" "bkup validate" "$BKUP" validate -p examples/policies/demo >/dev/null
done
python - "$results" <<'PY'
import statistics, sys
runs = {}
for line in open(sys.argv[1], encoding="utf-8"):
    name, seconds, *_ = line.split("\t")
    runs.setdefault(name, []).append(float(seconds) * 1000)
for name, times in runs.items():
    print(f"{name:<16} median {statistics.median(times):6.1f} ms   min {min(times):6.1f}   max {max(times):6.1f}")
PY
