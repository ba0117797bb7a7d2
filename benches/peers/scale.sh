#!/usr/bin/env bash
# A whole plan with nothing to do: a real catalog of 1,000,000 backups of 10,000 tenants, a store with as many manifests.
#   BENCH_TENANTS=10000   BENCH_NIGHTS=100   BENCH_RUNS=3   BENCH_DIR=/var/tmp   BENCH_BKUP=PATH   a bkup that is built
# A first apply backs a few tenants up; every further row is one of those rows once more, with its own ids, slot and key,
# and with the digest over them that bkup would have recorded. The store is a folder; its manifests are empty files, which
# a plan lists and does not read. Aim: under 15 s and 1 GiB. Quote processor time where others use the machine too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

TENANTS=${BENCH_TENANTS:-10000} NIGHTS=${BENCH_NIGHTS:-100} RUNS=${BENCH_RUNS:-3}

need_cargo
tools_folder
need age-keygen age
PG=$(postgres_17)
BKUP=$(bkup_built)

world_begin
postgres_begin "$PG"
createdb shop
createdb catalog
export BENCH_SHOP_URL="postgres://postgres@localhost:5432/shop?host=$PGHOST"
export BENCH_CATALOG_URL="postgres://postgres@localhost:5432/catalog?host=$PGHOST"

recipient=$(key_made)
mkdir "$WORK/policies" "$WORK/store"
cat >"$WORK/policies/bench.yaml" <<YAML
version: 1
catalog: { url: "\${BENCH_CATALOG_URL}" }
stores:
  primary: { url: "file://$WORK/store", encryption: { recipients: ["$recipient"] } }
databases:
  app: { url: "\${BENCH_SHOP_URL}", tenants: { schemas: "tenant_*" } }
classes:
  critical: { tenants: ["ent-*"], priority: 1, rpo: 27h }
  high: { tenants: ["pro-*"], priority: 2, rpo: 27h }
  standard: { tenants: ["*"], priority: 9, rpo: 27h }
retention:
  quarter: { daily: $NIGHTS, weekly: 12, timezone: Asia/Seoul }
schedules:
  tenants:
    databases: [app]
    backup: tenant_data
    when: { frequency: daily, time: "02:00" }
    retention: quarter
    store: primary
YAML

# schemas FIRST LAST: makes the tenants of these numbers; their slugs are as those of benches/plan.rs.
schemas() {
  query -d shop >/dev/null <<SQL
DO \$\$ BEGIN
  FOR n IN $1..$2 LOOP
    EXECUTE format('CREATE SCHEMA %I', 'tenant_' || (ARRAY['ent', 'pro', 'std', 'std'])[n % 4 + 1] || '-' || lpad(n::text, 5, '0'));
    IF n % 500 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
SQL
}

say "the first tenants' own backups"
schemas 1 4
"$BKUP" apply --auto-approve -p "$WORK/policies" >"$WORK/apply.log" 2>&1 || { cat "$WORK/apply.log" >&2; die "the first apply failed"; }

say "making $TENANTS tenants and $((TENANTS * NIGHTS)) backups of them"
schemas 5 "$TENANTS"
# Digest and hash are taken over by bkup's own expressions: a copy of them would go stale unseen.
expression() {
  python - "$1" src/catalog/completion.rs <<'PY'
import re, sys
name, path = sys.argv[1:]
text = open(path, encoding="utf-8").read()
print(re.sub(r"\\\n\s*", "", re.search(rf'const {name}: &str = "(.*?)";', text, re.S).group(1)))
PY
}
recorded=$(expression RECORDED)
hash=$(expression RECORDED_HASH)
query -d catalog -v recorded="$recorded" -v hash="$hash" -v tenants="$TENANTS" -v nights="$NIGHTS" >"$WORK/keys" <<'SQL'
SET work_mem = '256MB';
SET maintenance_work_mem = '512MB';
-- An action's id is the digest over its canonical JSON; the check against the real rows below would see another rule.
CREATE FUNCTION pg_temp.action(scope text, slot timestamptz) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT encode(sha256(convert_to(format(
    '{"database":"app","kind":"back_up","origin":"schedule.tenants","scope":"%s","slot":"%s","version":1}',
    scope, to_char(slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), 'UTF8')), 'hex') $$;
CREATE FUNCTION pg_temp.backup(scope text, slot timestamptz) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT to_char(slot AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-tenants-' || left(pg_temp.action(scope, slot), 16) $$;
DO $$ BEGIN
  IF (SELECT count(*) FROM bkup.executions) <> 5 OR EXISTS (SELECT FROM bkup.executions
      WHERE status <> 'COMPLETED' OR action_id <> pg_temp.action(scope, slot) OR backup_id <> pg_temp.backup(scope, slot)
         OR manifest_key <> 'backups/app/' || scope || '/' || backup_id || '/manifest.json') THEN
    RAISE 'the first rows are not what this bench expects';
  END IF;
END $$;

CREATE TEMP TABLE tenant AS
  SELECT n, (ARRAY['ent', 'pro', 'std', 'std'])[n % 4 + 1] || '-' || lpad(n::text, 5, '0') AS slug
  FROM generate_series(1, :tenants) n;
INSERT INTO bkup.tenants (database, slug, schema_name, class, first_seen_at, last_seen_at)
  SELECT 'app', t.slug, 'tenant_' || t.slug, CASE left(t.slug, 3) WHEN 'ent' THEN 'critical' WHEN 'pro' THEN 'high' ELSE 'standard' END,
         k.first_seen_at, k.last_seen_at
  FROM tenant t, (SELECT first_seen_at, last_seen_at FROM bkup.tenants LIMIT 1) k
  ON CONFLICT DO NOTHING;

-- What a row is a copy of, and what tells it from the others.
CREATE TEMP TABLE work AS
  SELECT t.*, m.id AS model, pg_temp.backup(t.scope, t.slot) AS backup, pg_temp.action(t.scope, t.slot) AS action,
         CASE WHEN t.slug IS NOT NULL THEN pg_temp.backup('shared', t.slot) END AS beside
  FROM (
    SELECT NULL AS slug, 'shared' AS scope, interval '1 day' * night AS back, s.slot - interval '1 day' * night AS slot
    FROM generate_series(1, :nights - 1) night, (SELECT max(slot) AS slot FROM bkup.executions) s
    UNION ALL
    SELECT t.slug, 'tenant=' || t.slug, interval '1 day' * night, s.slot - interval '1 day' * night
    FROM tenant t, generate_series(0, :nights - 1) night, (SELECT max(slot) AS slot FROM bkup.executions) s
    WHERE night > 0 OR t.n > 4
  ) t
  JOIN LATERAL (SELECT id FROM bkup.executions WHERE (scope = 'shared') = (t.scope = 'shared') ORDER BY backup_id LIMIT 1) m ON true;

-- Rows lie in the order in which backups are made. Indexes are built afterwards, all rows at once.
CREATE TEMP TABLE made AS
  SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
  WHERE indrelid = 'bkup.executions'::regclass AND NOT indisprimary;
SELECT 'DROP INDEX ' || name FROM made \gexec
SELECT format('INSERT INTO bkup.executions (%1$s) SELECT %2$s FROM (SELECT %3$s FROM work w JOIN bkup.executions m ON m.id = w.model ORDER BY w.slot) e',
  string_agg(quote_ident(attname), ', ' ORDER BY attnum),
  string_agg(CASE attname WHEN 'recorded' THEN :'recorded' WHEN 'recorded_hash' THEN :'hash' ELSE 'e.' || quote_ident(attname) END, ', ' ORDER BY attnum),
  string_agg(CASE
      WHEN attname = 'id' THEN 'gen_random_uuid() AS id'
      WHEN attname = 'backup_id' THEN 'w.backup AS backup_id'
      WHEN attname = 'action_id' THEN 'w.action AS action_id'
      WHEN attname = 'shared' THEN 'w.beside AS shared'
      WHEN attname = 'scope' THEN 'w.scope'
      WHEN attname = 'tenant_slug' THEN 'w.slug AS tenant_slug'
      WHEN attname = 'tenant_schema' THEN '''tenant_'' || w.slug AS tenant_schema'
      WHEN attname = 'backup_name' THEN 'w.backup AS backup_name'
      WHEN attname IN ('manifest_key', 'backup_file') THEN
        '''backups/app/'' || w.scope || ''/'' || w.backup || ''/manifest.json'' AS ' || attname
      WHEN attname = 'parts' THEN '''[]''::jsonb AS parts'
      WHEN attname = 'recipients' THEN '''{}''::text[] AS recipients'
      WHEN attname IN ('manifest_size', 'recorded', 'recorded_hash') THEN 'NULL::' || format_type(atttypid, atttypmod) || ' AS ' || attname
      WHEN attname IN ('slot', 'slot_local', 'scheduled_at', 'started_at', 'completed_at', 'consistent_at', 'verified_at') THEN
        format('m.%1$I - w.back AS %1$I', attname)
      ELSE 'm.' || quote_ident(attname) END, ', ' ORDER BY attnum))
FROM pg_attribute WHERE attrelid = 'bkup.executions'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \gexec
SELECT definition FROM made \gexec
ANALYZE bkup.executions;
SELECT manifest_key FROM bkup.executions ORDER BY manifest_key COLLATE "C";
SQL
query -d catalog -c 'vacuum analyze' -c checkpoint

say "making as many manifests"
python - "$WORK/store" "$WORK/keys" <<'PY'
import os, sys
root, keys = sys.argv[1:]
made = None
for key in open(keys, encoding="utf-8"):
    path = os.path.join(root, key.rstrip("\n"))
    folder = os.path.dirname(path)
    scope = os.path.dirname(folder)
    if scope != made:
        os.makedirs(scope, exist_ok=True)
        made = scope
    try:
        os.mkdir(folder)
    except FileExistsError:
        pass  # one of the first backups
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
PY

results=$WORK/results
for run in $(seq "$RUNS"); do
  say "round $run of $RUNS; load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  status=0
  python benches/peers/measure.py "$results" "bkup plan" "$BKUP" plan -p "$WORK/policies" --detailed-exitcode --include-due \
    --json-out "$WORK/plan.json" >"$WORK/plan.log" 2>&1 || status=$?
  [ "$status" = 0 ] || { head -n 60 "$WORK/plan.log" >&2; die "the plan ended with $status instead of finding nothing to do"; }
done
query -d catalog -c "select count(*) || ' backups of ' || count(DISTINCT tenant_slug) || ' tenants in the catalog' from bkup.executions where status = 'COMPLETED'"
echo "$(find "$WORK/store/backups" -name manifest.json | wc -l) manifests in the store"
python benches/peers/measure.py --summary "$results" "bkup plan"
