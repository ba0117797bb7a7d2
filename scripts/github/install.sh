#!/usr/bin/env bash
# A step of the action: bkup on the PATH. What is there is used; otherwise the source that came with the action is
# compiled, which is pinned by the same commit as the action itself. Nothing is downloaded but the crates of Cargo.lock.
#
#   BKUP_VERSION     the version that has to be there; empty: any
#   BKUP_SOURCE      the action's own folder
#   BKUP_CACHE       where the compiled program goes, and stays between runs
set -euo pipefail

fail() {
  printf '::error title=bkup::%s\n' "$1"
  exit 1
}

# The first word after the name: `bkup 0.1.0`.
version_of() { "$1" --version | sed -n '1s/^bkup \([^ ]*\).*/\1/p'; }

wanted=${BKUP_VERSION:-}
case $wanted in
  '' | *[!0-9A-Za-z.+-]*) [ -z "$wanted" ] || fail 'version: write a version as 0.1.0' ;;
esac

if command -v bkup >/dev/null; then
  found=$(version_of bkup)
  [ -z "$wanted" ] || [ "$wanted" = "$found" ] || fail "bkup $found is on the PATH, and the input version asks for $wanted"
  printf 'using bkup %s, which is on the PATH\n' "$found"
  exit 0
fi

program=$BKUP_CACHE/bin/bkup
if [ ! -x "$program" ]; then
  command -v cargo >/dev/null || fail 'there is neither bkup nor cargo on the PATH: put one of them on the runner'
  cargo install --locked --quiet --path "$BKUP_SOURCE" --root "$BKUP_CACHE" --no-track
fi
found=$(version_of "$program")
[ -z "$wanted" ] || [ "$wanted" = "$found" ] || fail "this action brings bkup $found, and the input version asks for $wanted"
printf '%s\n' "$BKUP_CACHE/bin" >>"$GITHUB_PATH"
printf 'using bkup %s, compiled from the source of the action\n' "$found"
