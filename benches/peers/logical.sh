#!/usr/bin/env bash
# The logical pipe beside what people use instead, in one run on one machine: quote the ratios, never the seconds.
#   BENCH_MIB=1200   size of the database            BENCH_RUNS=3   rounds; the programs take turns
#   BENCH_DIR=/var/tmp  where data goes: needs about three times the size     BENCH_BKUP=PATH   a bkup that is built
# bkup does more than the peers: it encrypts, digests every row, and reads back what it wrote.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

MIB=${BENCH_MIB:-1200} RUNS=${BENCH_RUNS:-3}

need_cargo
tools_folder
need zstd zstd
need age-keygen age
PG=$(postgres_17)
RCLONE=$(rclone_program)
AWS=$(aws_program)
BKUP=$(bkup_built)

world_begin
postgres_begin "$PG"
s3_begin "$RCLONE"

say "making $MIB MiB of rows"
createdb shop
first=1 batch=50000 bytes=0
while [ "$bytes" -lt $((MIB * 1048576)) ]; do
  bytes=$(psql -XAtq -v ON_ERROR_STOP=1 -v first=$first -v last=$((first + batch - 1)) -d shop -f benches/peers/rows.sql | tail -n 1)
  first=$((first + batch))
done
psql -XAtq -d shop -c 'vacuum analyze' -c checkpoint
say "$(psql -XAt -d shop -c "select pg_size_pretty(pg_database_size('shop')) || ' in ' || (select count(*) from messages) * 3 || ' rows'")"

recipient=$(key_made)
results=$WORK/results
measured() { python benches/peers/measure.py "$results" "$@"; }

# policies N: a fresh prefix and a fresh catalog for each run, so that each run takes its first backup.
policies() {
  mkdir "$WORK/policies-$1"
  cat >"$WORK/policies-$1/bench.yaml" <<YAML
version: 1
catalog: { url: "\${BENCH_CATALOG_URL}" }
stores:
  bench:
    url: s3://bench/bkup-$1
    region: us-east-1
    endpoint: "\${BENCH_S3}"
    path_style: true
    encryption: { recipients: ["$recipient"] }
databases:
  shop: { url: "\${BENCH_SHOP_URL}" }
retention:
  few: { last: 7 }
schedules:
  nightly:
    databases: [shop]
    backup: database
    engine: logical
    when: { frequency: daily, time: "02:00" }
    retention: few
    store: bench
    compression: zstd:3
YAML
  createdb "catalog_$1"
  export BENCH_SHOP_URL="postgres://postgres@localhost:5432/shop?host=$PGHOST"
  export BENCH_CATALOG_URL="postgres://postgres@localhost:5432/catalog_$1?host=$PGHOST"
}

OURS="bkup apply"
FLOOR="pg_dump -Fc -Z0 | zstd -3 -T2 > /dev/null"
AWSCP="pg_dump -Fc | aws s3 cp -"
for run in $(seq "$RUNS"); do
  say "round $run of $RUNS; load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  policies "$run"
  measured "$OURS" "$BKUP" apply --auto-approve -p "$WORK/policies-$run" --report "$WORK/report-$run.json" >"$WORK/apply-$run.log" 2>&1 ||
    { cat "$WORK/apply-$run.log" >&2; die "bkup apply failed"; }
  # A run that stored nothing would be the fastest of all.
  [ -n "$(find "$WORK/s3/bench/bkup-$run" -name manifest.json -print -quit)" ] || { cat "$WORK/apply-$run.log" >&2; die "bkup stored no backup"; }
  stored=$(du -sm "$WORK/s3/bench/bkup-$run" | cut -f1)
  rm -rf "$WORK/s3/bench/bkup-$run"
  measured "$FLOOR" bash -c 'set -o pipefail; pg_dump -Fc -Z0 shop | zstd -q -3 -T2 > /dev/null'
  measured "$AWSCP" bash -c "set -o pipefail; pg_dump -Fc shop | '$AWS' --endpoint-url '$BENCH_S3' s3 cp --quiet - s3://bench/aws/shop.dump"
  [ -s "$WORK/s3/bench/aws/shop.dump" ] || die "aws stored nothing"
  rm -rf "$WORK/s3/bench/aws"
done

echo
python benches/peers/measure.py --summary "$results" "$OURS" "$FLOOR" "$AWSCP"
echo "bkup stored $stored MiB; its slowest actions in the last run:"
python - "$WORK/report-$RUNS.json" <<'PY'
import json, sys
actions = json.load(open(sys.argv[1], encoding="utf-8"))["actions"]
for a in sorted(actions, key=lambda a: -a["elapsed_ms"])[:3]:
    print(f"  {a['elapsed_ms'] / 1000:8.2f} s  {json.dumps(a['action']['address'])}  {json.dumps(a['outcome'])[:100]}")
PY
