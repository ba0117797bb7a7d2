#!/usr/bin/env bash
# A plan without a change of 10,000 schedules, beside `terraform plan` on 10,000 `terraform_data` resources.
#   BENCH_RESOURCES=10000   BENCH_RUNS=3   BENCH_DIR=/var/tmp   BENCH_BKUP=PATH   a bkup that is built
# bkup has applied them to a catalog of its own in PostgreSQL. terraform has applied the first to its local state, and the
# others are put in beside it: its own apply of so many writes the whole state again and again, for half an hour. Each
# resource is a block of its own with the same facts in it; terraform's built-in kind starts no plugin.
# Aim: at least 10 times as fast, in a fifth of the memory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
# shellcheck source=benches/peers/world.sh
. benches/peers/world.sh

RESOURCES=${BENCH_RESOURCES:-10000} RUNS=${BENCH_RUNS:-3}

need_cargo
tools_folder
need age-keygen age
command -v terraform >/dev/null || die "terraform is missing" "install it and put it on the PATH: it has no package in Debian"
PG=$(postgres_17)
BKUP=$(bkup_built)

world_begin
postgres_begin "$PG"
createdb catalog
for n in $(seq 0 9); do
  createdb "shop_$n"
  export "BENCH_SHOP_$n=postgres://postgres@localhost:5432/shop_$n?host=$PGHOST"
done
export BENCH_CATALOG_URL="postgres://postgres@localhost:5432/catalog?host=$PGHOST"

recipient=$(key_made)
mkdir "$WORK/policies" "$WORK/store" "$WORK/terraform"
python - "$RESOURCES" "$WORK" "$recipient" <<'PY'
import sys
resources, work, recipient = int(sys.argv[1]), sys.argv[2], sys.argv[3]
# A minute of the week for each: two at once on one database would be a finding for each of them.
def day(n):
    return ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][n // 1440 % 7]
with open(f"{work}/policies/bench.yaml", "w", encoding="utf-8") as out:
    out.write('version: 1\ncatalog: { url: "${BENCH_CATALOG_URL}" }\n')
    out.write(f'stores:\n  primary: {{ url: "file://{work}/store", encryption: {{ recipients: ["{recipient}"] }} }}\n')
    out.write("databases:\n")
    for n in range(10):
        out.write(f'  shop-{n}: {{ url: "${{BENCH_SHOP_{n}}}" }}\n')
    out.write("retention:\n  few: { weekly: 8 }\nschedules:\n")
    for n in range(resources):
        out.write(f"""  nightly-{n:05}:
    databases: [shop-{n % 10}]
    backup: database
    when: {{ frequency: weekly, days: [{day(n)}], time: "{n // 60 % 24:02}:{n % 60:02}" }}
    retention: few
    store: primary
    compression: zstd:3
""")
def resource(n):
    return f"""resource "terraform_data" "nightly_{n:05}" {{
  input = {{
    databases   = ["shop-{n % 10}"]
    backup      = "database"
    when        = {{ frequency = "weekly", days = ["{day(n)}"], time = "{n // 60 % 24:02}:{n % 60:02}" }}
    retention   = {{ weekly = 8 }}
    store       = "primary"
    compression = "zstd:3"
  }}
}}
"""
for name, numbers in [("first", range(1)), ("rest", range(1, resources))]:
    with open(f"{work}/{name}.tf", "w", encoding="utf-8") as out:
        out.writelines(resource(n) for n in numbers)
PY

# No look for newer versions, no plugins, no settings of whoever runs this.
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0
unset TF_CLI_CONFIG_FILE TF_CLI_ARGS TF_CLI_ARGS_plan TF_LOG TF_DATA_DIR TF_WORKSPACE
terraform=(terraform "-chdir=$WORK/terraform")

say "recording $RESOURCES schedules"
"$BKUP" apply --auto-approve --only changes -p "$WORK/policies" >"$WORK/apply.log" 2>&1 || { tail -n 40 "$WORK/apply.log" >&2; die "bkup apply failed"; }
[ "$(psql -XAt -d catalog -c 'select count(*) from bkup.schedules')" -eq "$RESOURCES" ] || die "not every schedule is recorded"
say "making $RESOURCES resources of terraform"
mv "$WORK/first.tf" "$WORK/terraform/"
quietly "${terraform[@]}" init -no-color
quietly "${terraform[@]}" apply -auto-approve -no-color
mv "$WORK/rest.tf" "$WORK/terraform/"
python - "$RESOURCES" "$WORK/terraform/terraform.tfstate" <<'PY'
import copy, json, sys, uuid
resources, path = int(sys.argv[1]), sys.argv[2]
with open(path, encoding="utf-8") as file:
    state = json.load(file)
first = state["resources"][0]
for n in range(1, resources):
    another = copy.deepcopy(first)
    another["name"] = f"nightly_{n:05}"
    attributes = another["instances"][0]["attributes"]
    attributes["id"] = str(uuid.uuid4())
    for value in (attributes["input"]["value"], attributes["output"]["value"]):
        value["databases"] = [f"shop-{n % 10}"]
        value["when"]["days"] = [["mon", "tue", "wed", "thu", "fri", "sat", "sun"][n // 1440 % 7]]
        value["when"]["time"] = f"{n // 60 % 24:02}:{n % 60:02}"
    state["resources"].append(another)
state["serial"] += 1
with open(path, "w", encoding="utf-8") as file:
    json.dump(state, file, indent=2)
PY
[ "$("${terraform[@]}" state list | wc -l)" -eq "$RESOURCES" ] || die "terraform has not made every resource"

OURS="bkup plan --only changes" THEIRS="terraform plan"
results=$WORK/results
measured() { python benches/peers/measure.py "$results" "$@"; }
for run in $(seq "$RUNS"); do
  say "round $run of $RUNS; load of the last minute on $(nproc) cores: $(cut -d' ' -f1 /proc/loadavg)"
  # With this switch a program that found a change does not exit with 0.
  measured "$OURS" "$BKUP" plan --only changes --detailed-exitcode -p "$WORK/policies" >"$WORK/plan.log" 2>&1 ||
    { tail -n 40 "$WORK/plan.log" >&2; die "bkup plan found changes or failed"; }
  measured "$THEIRS" "${terraform[@]}" plan -detailed-exitcode -no-color >"$WORK/terraform.log" 2>&1 ||
    { tail -n 40 "$WORK/terraform.log" >&2; die "terraform plan found changes or failed"; }
done
python benches/peers/measure.py --summary "$results" "$OURS" "$THEIRS"
