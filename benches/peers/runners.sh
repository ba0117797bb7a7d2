#!/usr/bin/env bash
# One apply of many tenants by one runner, and by several that share it, on a store that is 50 ms away.
# Twice: tenants with a database each, every one dumped by itself, and tenants as schemas of one database, out of one pass.
#   BENCH_TENANTS=400   BENCH_RUNNERS=4   BENCH_LATENCY=50 (ms)   BENCH_LAYOUTS="databases schemas"
#   BENCH_DIR=/var/tmp   BENCH_BKUP=PATH   a bkup that is built
# Each runner takes one backup at a time (max_parallel_jobs: 1), so that what is measured is how runners share work, and
# not what one of them can do at once. Dumps cost processor time on the database's machine: on few cores that is the limit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

TENANTS=${BENCH_TENANTS:-400} RUNNERS=${BENCH_RUNNERS:-4} LATENCY=${BENCH_LATENCY:-50}
LAYOUTS=${BENCH_LAYOUTS:-databases schemas}

need_cargo
tools_folder
need age-keygen age
PG=$(postgres_17)
RCLONE=$(rclone_program)
BKUP=$(bkup_built)

world_begin
# By the process's own word: `$!` would be the shell that started it.
trap '[ ! -s "$WORK/delay.pid" ] || kill "$(cat "$WORK/delay.pid")" 2>/dev/null || true; world_end' EXIT
postgres_begin "$PG"
s3_begin "$RCLONE"
far=$(free_port)
python benches/peers/delay.py "$far" "${BENCH_S3##*:}" "$LATENCY" "$WORK/delay.pid" &
for _ in $(seq 100); do [ ! -s "$WORK/delay.pid" ] || break; sleep 0.1; done
[ -s "$WORK/delay.pid" ] || die "the delay does not listen"
export BENCH_S3=http://127.0.0.1:$far

rows="CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 200) g"
query() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

made_databases() {
  createdb model
  query -d model -c "$rows"
  for n in $(seq "$TENANTS"); do echo "CREATE DATABASE tenant_t$n TEMPLATE model STRATEGY file_copy;"; done | query -d postgres
}

made_schemas() {
  createdb shop
  query -d shop >/dev/null <<SQL
DO \$\$ BEGIN
  FOR n IN 1..$TENANTS LOOP
    EXECUTE format('CREATE SCHEMA tenant_t%s', n);
    EXECUTE format('SET LOCAL search_path = tenant_t%s', n);
    EXECUTE '$rows';
    IF n % 50 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
SQL
}

# Prints the databases of a layout, and what is backed up of them.
databases_databases() {
  for n in $(seq "$TENANTS"); do echo "  t$n: { url: \"postgres://postgres@localhost:5432/tenant_t$n?host=$PGHOST\" }"; done
}
databases_schemas() {
  echo "  shop: { url: \"postgres://postgres@localhost:5432/shop?host=$PGHOST\", tenants: { schemas: \"tenant_*\" } }"
}
backup_databases() { printf 'databases: [%s]\n    backup: database' "$(seq -s, -f 't%g' "$TENANTS")"; }
backup_schemas() { printf 'databases: [shop]\n    backup: tenant_data'; }

recipient=$(key_made)

# round LAYOUT NAME RUNNERS: a fresh catalog and a fresh prefix; prints the seconds.
round() {
  local layout=$1 name=$1-$2 runners=$3 backups=$TENANTS begin end pids=() pid failed=0
  mkdir "$WORK/policies-$name"
  cat >"$WORK/policies-$name/bench.yaml" <<YAML
version: 1
catalog: { url: "\${BENCH_CATALOG_URL}" }
stores:
  far:
    url: s3://bench/$name
    region: us-east-1
    endpoint: "\${BENCH_S3}"
    path_style: true
    encryption: { recipients: ["$recipient"] }
databases:
$("databases_$layout")
retention:
  few: { last: 7 }
schedules:
  tenants:
    $("backup_$layout")
    when: { frequency: daily, time: "02:00" }
    retention: few
    store: far
    max_parallel_jobs: 1
YAML
  createdb "catalog_$name"
  export BENCH_CATALOG_URL="postgres://postgres@localhost:5432/catalog_$name?host=$PGHOST"
  "$BKUP" apply --auto-approve --only changes -p "$WORK/policies-$name" >"$WORK/$name-0.log" 2>&1 || { cat "$WORK/$name-0.log" >&2; die "the changes failed"; }
  "$BKUP" plan -p "$WORK/policies-$name" --out "$WORK/$name.json" >/dev/null 2>&1
  begin=$(date +%s.%N)
  for n in $(seq "$runners"); do
    "$BKUP" apply "$WORK/$name.json" -p "$WORK/policies-$name" --lock-timeout 10m >"$WORK/$name-$n.log" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  end=$(date +%s.%N)
  [ "$failed" = 0 ] || { cat "$WORK/$name"-*.log >&2; die "an apply failed"; }
  # A run that stored nothing would be the fastest of all. Tenants of one database share a backup besides.
  [ "$layout" = databases ] || backups=$((TENANTS + 1))
  [ "$(find "$WORK/s3/bench/$name" -name manifest.json | wc -l)" -eq "$backups" ] || die "not every tenant has its backup"
  psql -XAt -d "catalog_$name" -c "select 'each once: ' || (count(*) = count(distinct backup_id)) || '; backups by runner: ' || (select string_agg(n::text, ' ') from (select count(*) n from bkup.executions group by runner) r) from bkup.executions" >&2
  python -c "print(round($end - $begin, 1))"
}

for layout in $LAYOUTS; do
  say "making $TENANTS tenants: $layout"
  "made_$layout"
  say "load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  one=$(round "$layout" one 1)
  say "one runner: $one s"
  many=$(round "$layout" many "$RUNNERS")
  say "$RUNNERS runners: $many s; load now $(cut -d' ' -f1 /proc/loadavg)"
  python -c "print(f'$layout: $RUNNERS runners are {$one / $many:.2f} times as fast as one: $TENANTS tenants, $LATENCY ms latency')"
done
