#!/usr/bin/env bash
# A step of the action: one comment on the pull request, which later runs update. It never fails the job: a token that may
# not write (of a pull request from a fork) and a GitHub that does not answer are said, and the plan is in the summary.
#
#   BKUP_MD          the Markdown; its first line is the marker by which a later run finds the comment
#   BKUP_COMMENT     always; on-change: a first comment only where something changes or is deleted; never
#   BKUP_CHANGES     true where something changes; BKUP_DELETES how many backups are deleted
#   BKUP_REASON      how bkup ended; anything but success is worth a comment
#   BKUP_KEY         tells several policy sets apart; for the words that stand where there is no plan
#   BKUP_AUTHOR      who writes: only that user's comments are updated, whatever others write into theirs
#   BKUP_TOKEN       the token; it is in no argument of any program
#   GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_EVENT_PATH   set by GitHub
#   BKUP_RETRY_SECONDS   how long to wait before the second try; doubled for each further one
set -euo pipefail

# GitHub takes 65,536 characters. What bkup could not make shorter without hiding a deletion is split between lines.
MOST_BYTES=${BKUP_COMMENT_BYTES:-65000}
MOST_PARTS=10
MOST_PAGES=50
TRIES=4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

notice() { printf '::notice title=bkup::%s\n' "$1"; }

# Ends well, and says why there is no comment.
leave() {
  notice "no comment: $1; the plan is in the summary of this run"
  exit 0
}

# call METHOD PATH [BODY-FILE]: puts the answer into $work/answer and its status into STATUS, which is 000 where there is
# none. A request that only reads, or that may be made twice, is tried again where the server failed.
STATUS=000
call() {
  local method=$1 path=$2 body=${3:-} try=1 wait=${BKUP_RETRY_SECONDS:-2}
  while :; do
    local options=(--silent --show-error --max-time 30 --request "$method" --output "$work/answer"
      --write-out '%{http_code}' --header "@$work/headers")
    [ -z "$body" ] || options+=(--data-binary "@$body")
    STATUS=$(curl "${options[@]}" "$GITHUB_API_URL$path" 2>"$work/error") || STATUS=000
    case $STATUS in
      000 | 429 | 5??) ;;
      *) return 0 ;;
    esac
    # One that makes something is not repeated blindly: it may have been done, and only its answer lost.
    if [ "$method" = POST ] || [ "$try" -ge "$TRIES" ]; then return 0; fi
    sleep "$wait"
    wait=$((wait * 2)) try=$((try + 1))
  done
}

# Says why a request to write was refused, for people.
refused() {
  case $STATUS in
    401 | 403 | 404) leave "this token may not write comments here ($STATUS), as for a pull request from a fork; the job needs pull-requests: write" ;;
    422) leave 'GitHub does not take this text (422)' ;;
    000) leave 'GitHub did not answer' ;;
    *) leave "GitHub answered $STATUS" ;;
  esac
}

# Puts what was found into $work/found: a line for each of our comments, its number among the parts and its id.
find_comments() {
  local page=1 count
  : >"$work/found"
  while [ "$page" -le "$MOST_PAGES" ]; do
    call GET "/repos/$GITHUB_REPOSITORY/issues/$number/comments?per_page=100&page=$page"
    [ "$STATUS" = 200 ] || return 1
    # Only comments of ours that begin with the marker: anybody can write it into theirs.
    jq -r --arg author "$author" --arg marker "$stem" '
      .[] | select(.user.login == $author) | .id as $id | (.body // "") | split("\n")[0] | rtrimstr("\r")
      | select(startswith($marker)) | ltrimstr($marker)
      | capture("^(:part-(?<part>[0-9]+))? -->$") | "\(.part // "1") \($id)"' "$work/answer" >>"$work/found" || return 1
    count=$(jq 'length' "$work/answer") || return 1
    [ "$count" -ge 100 ] || return 0
    page=$((page + 1))
  done
}

# The oldest comment of a part; a second one would be left from two runs at once.
id_of() { awk -v part="$1" '$1 == part { print $2; exit }' "$work/found"; }

# Splits the text between lines into $work/part.1, $work/part.2, ... and prints how many there are.
split_text() {
  if [ "$(wc -c <"$BKUP_MD")" -le "$MOST_BYTES" ]; then
    cp "$BKUP_MD" "$work/part.1"
    echo 1
    return
  fi
  LC_ALL=C awk -v most="$MOST_BYTES" -v parts="$MOST_PARTS" -v stem="$stem" -v base="$work/part." '
    BEGIN { part = 1; most -= 400 }
    part > parts { missing++; next }
    size + length($0) + 1 > most {
      if (part == parts) { part++; missing++; next }
      close(base part); part++
      line = stem ":part-" part " -->\n*part " part " of the plan, continued*\n"
      print line > (base part); size = length(line) + 1
    }
    { print > (base part); size += length($0) + 1 }
    END {
      if (missing) printf "\n**%d lines are missing here.** All of them are in the artifact of this run; read them before you approve.\n", missing > (base parts)
      print (part > parts ? parts : part)
    }' "$BKUP_MD"
}

case ${BKUP_COMMENT:-always} in
  never) exit 0 ;;
  always | on-change) ;;
  *) leave 'the input comment is none of always, on-change and never' ;;
esac
if [ ! -s "${BKUP_MD:-}" ]; then
  # Without these words an earlier plan would stand there as if it were of this commit.
  case ${BKUP_REASON:-} in
    '' | *[!a-z_]*) leave 'there is no plan' ;;
  esac
  case ${BKUP_KEY:-default} in
    *[!0-9A-Za-z._-]*) leave 'there is no plan' ;;
  esac
  BKUP_MD=$work/plan.md
  # shellcheck disable=SC2016 # these backticks are Markdown's
  printf '<!-- bkup:plan:%s -->\n### ✗ No plan: bkup ended with `%s`\n\n%s\n' "${BKUP_KEY:-default}" "$BKUP_REASON" \
    'The log of this run says why. What an earlier run planned is not what would be applied now.' >"$BKUP_MD"
fi
number=$(jq -r '.pull_request.number // .issue.number // empty | select(type == "number")' "$GITHUB_EVENT_PATH" 2>/dev/null) || number=
[ -n "$number" ] || exit 0
[ -n "${BKUP_TOKEN:-}" ] || leave 'there is no token'
author=${BKUP_AUTHOR:-github-actions[bot]}
marker=$(sed -n 1p "$BKUP_MD")
case $marker in
  '<!-- bkup:'*' -->') stem=${marker% -->} ;;
  *) leave 'the text has no marker' ;;
esac

umask 077
printf 'Authorization: Bearer %s\nAccept: application/vnd.github+json\nX-GitHub-Api-Version: 2022-11-28\nContent-Type: application/json\n' \
  "$BKUP_TOKEN" >"$work/headers"

find_comments || refused
if [ "$BKUP_COMMENT" = on-change ] && [ ! -s "$work/found" ] &&
  [ "${BKUP_CHANGES:-}" = false ] && [ "${BKUP_DELETES:-0}" = 0 ] && [ "${BKUP_REASON:-}" = success ]; then
  notice 'no comment: nothing changes'
  exit 0
fi

parts=$(split_text)
for ((part = 1; part <= parts; part++)); do
  jq -n --rawfile body "$work/part.$part" '{ body: $body }' >"$work/body"
  id=$(id_of "$part")
  if [ -n "$id" ]; then
    call PATCH "/repos/$GITHUB_REPOSITORY/issues/comments/$id" "$work/body"
    [ "$STATUS" = 200 ] || refused
    printf 'updated comment %s\n' "$id"
    continue
  fi
  try=1 wait=${BKUP_RETRY_SECONDS:-2}
  while :; do
    call POST "/repos/$GITHUB_REPOSITORY/issues/$number/comments" "$work/body"
    [ "$STATUS" != 201 ] || break
    case $STATUS in
      000 | 429 | 5??) [ "$try" -lt "$TRIES" ] || refused ;;
      *) refused ;;
    esac
    sleep "$wait"
    wait=$((wait * 2)) try=$((try + 1))
    # It may be there, and only the answer was lost.
    find_comments || refused
    [ -z "$(id_of "$part")" ] || break
  done
  printf 'made a comment\n'
done

# Parts of an earlier, longer text would be read as parts of this one.
while read -r part id; do
  [ "$part" -gt "$parts" ] || continue
  call DELETE "/repos/$GITHUB_REPOSITORY/issues/comments/$id"
  [ "$STATUS" = 204 ] || notice "comment $id is of an earlier plan and could not be deleted ($STATUS)"
done <"$work/found"
