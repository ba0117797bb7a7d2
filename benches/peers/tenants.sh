#!/usr/bin/env bash
# Tenants by one pass beside what people use instead, in one run on one machine: quote the ratios, never the seconds.
#   BENCH_TENANTS="200 2000"   how many tenants, one round each      BENCH_TABLES=5   tables each
#   BENCH_ROWS=2000            rows of each table in the first round BENCH_FEW=10     and in the others
#   BENCH_RUNS=3               how often one dump and bkup are run, in turns; the table has the medians
#   BENCH_SAMPLE=20            how many tenants of a loop are run; the rest is counted from these, and said so
#   BENCH_LOOP=PATH            a bkup that dumps one tenant at a time, for the loop with its upload; without it the loop
#                              is pg_dump -n | zstd | age, then curl
#   BENCH_LOCKS=256            max_locks_per_transaction             BENCH_BKUP=PATH  a bkup that is built
# bkup does more than the peers: it digests every row, reads back what it wrote, and keeps a catalog.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

ROUNDS=${BENCH_TENANTS:-200 2000} TABLES=${BENCH_TABLES:-5} ROWS=${BENCH_ROWS:-2000} FEW=${BENCH_FEW:-10}
SAMPLE=${BENCH_SAMPLE:-20} LOCKS=${BENCH_LOCKS:-256} LOOP=${BENCH_LOOP:-} RUNS=${BENCH_RUNS:-3}

need_cargo
tools_folder
need zstd zstd
need age age
need curl curl
PG=$(postgres_17)
RCLONE=$(rclone_program)
AWS=$(aws_program)
BKUP=$(bkup_built)

world_begin
postgres_begin "$PG"
s3_begin "$RCLONE"
# A dump of everything locks everything: the server is given room, and is told so in the table.
psql -XAtqc "ALTER SYSTEM SET max_locks_per_transaction = $LOCKS"
as_server "$PG/pg_ctl" -D "$WORK/pg/data" -l "$WORK/pg/log" -w -s -m fast restart
PG_PID=$(head -n 1 "$WORK/pg/data/postmaster.pid")
recipient=$(key_made)

# timed FILE COMMAND...: runs it and writes its seconds.
timed() {
  local file=$1 begin end
  shift
  begin=$(date +%s.%N)
  "$@"
  end=$(date +%s.%N)
  python -c "print(round($end - $begin, 3))" >"$file"
}

# tenants N ROWS: a database `shop` with N tenants.
tenants() {
  PGOPTIONS="-c client_min_messages=warning" dropdb --if-exists shop
  createdb shop
  psql -XAtq -v ON_ERROR_STOP=1 -d shop >/dev/null <<SQL
CREATE TABLE public.plans (id int PRIMARY KEY, name text);
INSERT INTO public.plans SELECT g, 'plan ' || g FROM generate_series(1, 20) g;
DO \$\$ BEGIN
  FOR n IN 1..$1 LOOP
    EXECUTE format('CREATE SCHEMA tenant_t%s', n);
    FOR t IN 1..$TABLES LOOP
      EXECUTE format('CREATE TABLE tenant_t%s.table_%s (id serial PRIMARY KEY, at timestamptz, who text, note text)', n, t);
      EXECUTE format('INSERT INTO tenant_t%s.table_%s (at, who, note) SELECT now(), md5(g::text), md5((g * %s)::text) FROM generate_series(1, $2) g', n, t, n);
    END LOOP;
    IF n % 20 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
VACUUM ANALYZE;
CHECKPOINT;
SQL
}

# policies NAME: a fresh catalog and a fresh prefix.
policies() {
  mkdir "$WORK/policies-$1"
  cat >"$WORK/policies-$1/bench.yaml" <<YAML
version: 1
catalog: { url: "\${BENCH_CATALOG_URL}" }
stores:
  bench:
    url: s3://bench/$1
    region: us-east-1
    endpoint: "\${BENCH_S3}"
    path_style: true
    encryption: { recipients: ["$recipient"] }
databases:
  shop: { url: "\${BENCH_SHOP_URL}", tenants: { schemas: "tenant_*" } }
retention:
  few: { last: 7 }
schedules:
  tenants:
    databases: [shop]
    backup: tenant_data
    when: { frequency: daily, time: "02:00" }
    retention: few
    store: bench
    compression: zstd:3
YAML
  createdb "catalog_$1"
  export BENCH_SHOP_URL="postgres://postgres@localhost:5432/shop?host=$PGHOST"
  export BENCH_CATALOG_URL="postgres://postgres@localhost:5432/catalog_$1?host=$PGHOST"
}

# apply BKUP NAME: prepares everything but the backups, then takes these: NAME.seconds, and their memory's NAME.peak.
apply() {
  local bkup=$1 name=$2
  policies "$name"
  "$bkup" apply --auto-approve --only changes -p "$WORK/policies-$name" >"$WORK/$name-0.log" 2>&1 ||
    { cat "$WORK/$name-0.log" >&2; die "the changes failed"; }
  "$bkup" plan -p "$WORK/policies-$name" --out "$WORK/$name.json" >/dev/null 2>&1 || [ $? = 2 ]
  python - "$WORK/$name.seconds" "$WORK/$name.peak" "$bkup" apply "$WORK/$name.json" -p "$WORK/policies-$name" --report "$WORK/$name.report" <<'PY' >"$WORK/$name.log" 2>&1 || { tail -n 40 "$WORK/$name.log" >&2; die "bkup apply failed"; }
import os, subprocess, sys, time
begin = time.monotonic()
child = subprocess.Popen(sys.argv[3:])
_, status, used = os.wait4(child.pid, 0)
open(sys.argv[1], "w").write(str(round(time.monotonic() - begin, 3)))
# The larger one of bkup and of any program it runs.
open(sys.argv[2], "w").write(str(used.ru_maxrss // 1024))
sys.exit(os.waitstatus_to_exitcode(status))
PY
}

# middle FILE: the median of the lines' first numbers.
middle() { cut -d' ' -f1 "$1" | python -c 'import statistics, sys; print(statistics.median(map(float, sys.stdin)))'; }

one_dump() { pg_dump -Fc -Z0 shop | cat >/dev/null; }

seed_loop() {
  local n
  for n in $(seq "$1"); do
    pg_dump -Fc -n "tenant_t$n" shop | "$AWS" --endpoint-url "$BENCH_S3" s3 cp --quiet - "s3://bench/seed/tenant_t$n.dump"
  done
}

upload_loop() {
  local n
  for n in $(seq "$1"); do
    # To a file first: this server takes no upload whose length it is not told.
    pg_dump -Fc -Z0 -n "tenant_t$n" shop | zstd -q -3 | age -r "$recipient" >"$WORK/loop.dump"
    curl -sS --fail --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
      -T "$WORK/loop.dump" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$BENCH_S3/bench/loop/tenant_t$n.dump" -o /dev/null ||
      die "curl could not store tenant $n"
  done
}

results=$WORK/results
rows=$ROWS
for count in $ROUNDS; do
  say "making $count tenants of $TABLES tables of $rows rows; load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  tenants "$count" "$rows"
  few=$((count < SAMPLE ? count : SAMPLE))
  : >"$WORK/dumps"
  : >"$WORK/ours"
  for run in $(seq "$RUNS"); do
    timed "$WORK/dump.seconds" one_dump
    apply "$BKUP" "b$count-$run"
    # A run that stored nothing would be the fastest of all.
    found=$(find "$WORK/s3/bench/b$count-$run" -name manifest.json | wc -l)
    [ "$found" -eq $((count + 1)) ] || die "$found of $((count + 1)) backups are there"
    say "one dump: $(cat "$WORK/dump.seconds") s; bkup: $(cat "$WORK/b$count-$run.seconds") s, $(cat "$WORK/b$count-$run.peak") MiB"
    cat "$WORK/dump.seconds" >>"$WORK/dumps"
    echo "$(cat "$WORK/b$count-$run.seconds") $(cat "$WORK/b$count-$run.peak")" >>"$WORK/ours"
  done
  if [ -n "$LOOP" ]; then
    apply "$LOOP" "l$count"
    cp "$WORK/l$count.seconds" "$WORK/loop.seconds"
    looped=$count
  else
    timed "$WORK/loop.seconds" upload_loop "$few"
    looped=$few
  fi
  say "loop of pg_dump -n with an upload, $looped tenants: $(cat "$WORK/loop.seconds") s"
  timed "$WORK/seed.seconds" seed_loop "$few"
  say "loop of pg_dump -n | aws s3 cp, $few tenants: $(cat "$WORK/seed.seconds") s"
  echo "$count $rows $few $looped $(middle "$WORK/ours") $(middle "$WORK/dumps") $(cat "$WORK/loop.seconds") $(cat "$WORK/seed.seconds") $(cut -d' ' -f2 "$WORK/ours" | sort -n | tail -n 1)" >>"$results"
  rows=$FEW
done

echo
python - "$results" "$TABLES" "$LOCKS" "$RUNS" <<'PY'
import sys
rounds = [list(map(float, line.split())) for line in open(sys.argv[1], encoding="utf-8")]
print(f"{sys.argv[2]} tables a tenant, max_locks_per_transaction = {sys.argv[3]}")
print(f"{'tenants':>8} {'rows':>6} {'bkup':>9} {'one dump':>9} {'loop':>10} {'seed':>10}   {'to one dump':>11} {'loop/bkup':>9} {'seed/bkup':>9} {'MiB':>5}")
for count, rows, few, looped, bkup, dump, loop, seed, peak in rounds:
    loop, seed = loop / looped * count, seed / few * count
    mark = lambda part: "~" if part < count else " "
    print(f"{count:8.0f} {rows:6.0f} {bkup:8.2f}s {dump:8.2f}s {loop:8.1f}s{mark(looped)} {seed:8.1f}s{mark(few)}   {bkup / dump:10.2f}x {loop / bkup:8.1f}x {seed / bkup:8.1f}x {peak:5.0f}")
if any(few < count or looped < count for count, _, few, looped, *_ in rounds):
    print("~ counted from a sample")
print(f"bkup and one dump: medians of {sys.argv[4]} runs in turns")
if len(rounds) > 1:
    print(f"{rounds[-1][0]:.0f} tenants take bkup {rounds[-1][4] / rounds[0][4]:.1f} times as long as {rounds[0][0]:.0f}")
PY
