# shellcheck shell=bash
# A private PostgreSQL server and an S3 server for a bench: sourced, stopped by the trap it sets. Only processes
# started here are ended, by their ids.

WORK='' PG_PID='' S3_PID=''

world_end() {
  local status=$?
  trap - EXIT INT TERM HUP PIPE
  [ -z "$S3_PID" ] || kill "$S3_PID" 2>/dev/null || true
  if [ -n "$PG_PID" ]; then
    kill -QUIT "$PG_PID" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$PG_PID" 2>/dev/null || break; sleep 0.1; done
  fi
  [ -z "$WORK" ] || rm -rf "$WORK"
  exit "$status"
}

world_begin() {
  trap world_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap 'exit 141' PIPE
  WORK=$(mktemp -d "${BENCH_DIR:-/var/tmp}/bkup-bench.XXXXXX")
  chmod 0755 "$WORK"
}

# The unprivileged user that servers run as when this runs as root.
as_server() {
  if is_root; then
    local user=nobody
    ! id postgres >/dev/null 2>&1 || user=postgres
    setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups -- "$@"
  else
    "$@"
  fi
}

free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Prints the bkup that is measured: BENCH_BKUP, or a release build.
bkup_built() {
  if [ -n "${BENCH_BKUP:-}" ]; then
    echo "$BENCH_BKUP"
  else
    cargo build --release --locked --quiet || return 1
    echo "${CARGO_TARGET_DIR:-$PWD/target}/release/bkup"
  fi
}

# Makes a key for stores as $WORK/identity, and prints its recipient.
key_made() {
  age-keygen -o "$WORK/identity" 2>/dev/null || return 1
  age-keygen -y "$WORK/identity"
}

# postgres_begin BIN: starts a server on a socket in $WORK/pg; PGHOST, PGPORT, PGUSER, PATH and BKUP_PG_BIN point at it.
postgres_begin() {
  local bin=$1 tries=0
  mkdir "$WORK/pg"
  ! is_root || chmod 0777 "$WORK/pg"
  (cd / && as_server "$bin/initdb" -N -D "$WORK/pg/data" --locale=C.UTF-8 --encoding=UTF8 -U postgres --auth=trust) >"$WORK/initdb.log" 2>&1 ||
    { cat "$WORK/initdb.log" >&2; die "initdb failed"; }
  # Not as a background function: the process id must be the server's own.
  export PGHOST=$WORK/pg PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  as_server "$bin/pg_ctl" -D "$WORK/pg/data" -l "$WORK/pg/log" -w -s start -o "-c listen_addresses='' -k $WORK/pg -p 5432 \
    -c fsync=off -c full_page_writes=off -c shared_buffers=512MB -c max_wal_size=8GB -c checkpoint_timeout=1h -c jit=off"
  PG_PID=$(head -n 1 "$WORK/pg/data/postmaster.pid")
  PATH=$bin:$PATH
  export BKUP_PG_BIN=$bin
  until "$bin/psql" -XAtqc 'select 1' >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || die "the bench's server does not answer"
    sleep 0.1
  done
}

# query ARGUMENT...: asks the server that was begun; the first error ends it.
query() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# s3_begin RCLONE: starts an S3 server over $WORK/s3 with the bucket `bench`; BENCH_S3 is its address.
s3_begin() {
  local port tries=0
  mkdir -p "$WORK/s3/bench"
  port=$(free_port)
  export AWS_ACCESS_KEY_ID=BENCHKEY AWS_SECRET_ACCESS_KEY=BENCHSECRETBENCHSECRET AWS_REGION=us-east-1
  export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_REQUEST_CHECKSUM_CALCULATION=when_required
  export BENCH_S3=http://127.0.0.1:$port RCLONE_CONFIG=/dev/null
  "$1" serve s3 --addr "127.0.0.1:$port" --auth-key "$AWS_ACCESS_KEY_ID,$AWS_SECRET_ACCESS_KEY" "$WORK/s3" >"$WORK/s3.log" 2>&1 &
  S3_PID=$!
  until python -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$WORK/s3.log" >&2; die "the bench's S3 server does not answer"; }
    sleep 0.1
  done
}
