#!/usr/bin/env bash
# One apply of many tenants by one runner, and by several that share it, on a store that is 50 ms away.
# Once for each number in BENCH_DATABASES: so many databases hold the tenants, as schemas. A database's tenants come out of
# one pass, so the databases are what runners can share well; of one database alone they have to share the pass.
#   BENCH_TENANTS=400   BENCH_RUNNERS=4   BENCH_LATENCY=50 (ms)   BENCH_DATABASES="20 1"
#   BENCH_DIR=/var/tmp   BENCH_BKUP=PATH   a bkup that is built
# Each runner dumps one database at a time (max_parallel_jobs: 1), so that what is measured is how runners share work, and
# not what one of them can do at once. Dumps cost processor time on the database's machine: on few cores that is the limit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

TENANTS=${BENCH_TENANTS:-400} RUNNERS=${BENCH_RUNNERS:-4} LATENCY=${BENCH_LATENCY:-50}
DATABASES=${BENCH_DATABASES:-20 1}

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

# made DATABASES: makes as many databases, and the tenants in them.
made() {
  local tenants=$((TENANTS / $1)) n
  createdb "model_$1"
  query -d "model_$1" >/dev/null <<SQL
DO \$\$ BEGIN
  FOR n IN 1..$tenants LOOP
    EXECUTE format('CREATE SCHEMA tenant_t%s', n);
    EXECUTE format('SET LOCAL search_path = tenant_t%s', n);
    EXECUTE '$rows';
    IF n % 50 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
SQL
  for n in $(seq "$1"); do echo "CREATE DATABASE shop_$1_$n TEMPLATE model_$1 STRATEGY file_copy;"; done | query -d postgres
}

# Prints a policy's databases.
listed() {
  local n
  for n in $(seq "$1"); do
    echo "  s$n: { url: \"postgres://postgres@localhost:5432/shop_$1_$n?host=$PGHOST\", tenants: { schemas: \"tenant_*\" } }"
  done
}

recipient=$(key_made)

# round DATABASES NAME RUNNERS: a fresh catalog and a fresh prefix; prints the seconds.
round() {
  local databases=$1 name=$2_$1 runners=$3 backups=$((TENANTS / $1 * $1 + $1)) begin end pids=() pid failed=0
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
$(listed "$databases")
retention:
  few: { last: 7 }
schedules:
  tenants:
    databases: [$(seq -s, -f 's%g' "$databases")]
    backup: tenant_data
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
  # A run that stored nothing would be the fastest of all. A database's tenants share a backup besides.
  [ "$(find "$WORK/s3/bench/$name" -name manifest.json | wc -l)" -eq "$backups" ] || die "not every tenant has its backup"
  psql -XAt -d "catalog_$name" -c "select 'each once: ' || (count(*) = count(distinct backup_id)) || '; backups by runner: ' || (select string_agg(n::text, ' ') from (select count(*) n from bkup.executions where status = 'COMPLETED' group by runner) r) from bkup.executions where status = 'COMPLETED'" >&2
  python -c "print(round($end - $begin, 1))"
}

for databases in $DATABASES; do
  say "making $TENANTS tenants in $databases databases"
  made "$databases"
  say "load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  one=$(round "$databases" one 1)
  say "one runner: $one s"
  many=$(round "$databases" many "$RUNNERS")
  say "$RUNNERS runners: $many s; load now $(cut -d' ' -f1 /proc/loadavg)"
  python -c "print(f'$TENANTS tenants in $databases databases, $LATENCY ms away: $RUNNERS runners are {$one / $many:.2f} times as fast as one')"
done
