#!/usr/bin/env bash
# A step of the action: runs bkup. It sets the outputs and the summary of the step itself; this only makes its arguments.
#
#   BKUP_COMMAND     plan, apply, drill, validate, status, ...
#   BKUP_ARGS        more arguments, one a line, so that none of them is split or expanded
#   BKUP_POLICIES    the folder of the policies
#   BKUP_PLAN        a saved plan to apply; empty: none
#   BKUP_DIGEST      the digest that it must have; empty: any
#   BKUP_CHANGES     without a saved plan: the change digest that planning again must come to; empty: any
#   BKUP_OUT         the folder for what the run leaves: plan.json, plan.md, report.json, report.md
#   BKUP_KEY         tells several policy sets apart
set -euo pipefail

fail() {
  printf '::error title=bkup::%s\n' "$1"
  exit 64
}

case $BKUP_COMMAND in
  '' | -* | *[!a-z-]*) fail 'command: write one of the commands of bkup, such as plan or apply' ;;
esac
mkdir -p "$BKUP_OUT"
args=("$BKUP_COMMAND")

has() {
  local arg
  for arg in "${given[@]+"${given[@]}"}"; do
    if [ "$arg" = "$1" ] || [ "${arg%%=*}" = "$1" ]; then return 0; fi
  done
  return 1
}

given=()
while IFS= read -r line || [ -n "$line" ]; do
  # Files that were written on Windows end their lines twice.
  line=${line%$'\r'}
  [ -z "$line" ] || given+=("$line")
done <<<"${BKUP_ARGS:-}"

case $BKUP_COMMAND in
  plan)
    # What an earlier step left must not be taken for this one's.
    rm -f "$BKUP_OUT/plan.json" "$BKUP_OUT/plan.md"
    args+=(--md-key "$BKUP_KEY")
    has --out || args+=(--out "$BKUP_OUT/plan.json")
    has --md-out || args+=(--md-out "$BKUP_OUT/plan.md")
    ;;
  apply)
    if [ -n "${BKUP_PLAN:-}" ]; then
      [ -f "$BKUP_PLAN" ] || fail 'plan: there is no such file'
      if [ -n "${BKUP_DIGEST:-}" ]; then
        # That the content has this digest is for bkup to check; here it is whether it is the plan that was meant.
        found=$(jq -r '.digest // "none"' "$BKUP_PLAN")
        [ "$found" = "$BKUP_DIGEST" ] || fail 'digest: the plan is not the one that was reviewed'
      fi
      args+=("$BKUP_PLAN")
      [ -z "${BKUP_CHANGES:-}" ] || fail 'change-digest: a saved plan has the input digest'
    elif [ -n "${BKUP_DIGEST:-}" ]; then
      fail 'digest: it is for a saved plan; name that with the input plan'
    elif [ -n "${BKUP_CHANGES:-}" ]; then
      args+=(--expect-digest "$BKUP_CHANGES")
    else
      has --auto-approve || args+=(--auto-approve)
    fi
    rm -f "$BKUP_OUT/report.json" "$BKUP_OUT/report.md"
    args+=(--md-key "$BKUP_KEY")
    has --report || args+=(--report "$BKUP_OUT/report.json")
    has --md-out || args+=(--md-out "$BKUP_OUT/report.md")
    ;;
  validate) has --format || args+=(--format github) ;;
esac
args+=("${given[@]+"${given[@]}"}")

# In place of the shell: when a run is cancelled its signal goes to this process, and bkup has to get it to write its
# report and release its claims.
exec bkup "${args[@]}"
