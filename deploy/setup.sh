#!/usr/bin/env bash
# What `npm start`, `npm test`, `npm run demo` and `npm run bench` do before the
# program itself: install what is missing, say so first, and start.
# Running it again when nothing is missing takes well under 3 seconds.
#
#   deploy/setup.sh start [--with-suricata] [options of `barricata run`]
#   deploy/setup.sh test  [vitest options]
#   deploy/setup.sh demo  [options of the demo]
#   deploy/setup.sh bench [names]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=deploy/packages.sh
. deploy/packages.sh

say() { printf '%s\n' "barricata: $*" >&2; }
die() { say "$*"; exit 1; }

require_root() {
  [ "$(id -u)" = 0 ] || die "this needs root, for the firewall and for packages: sudo npm ${1}"
}

require_node() {
  node -e 'const [a,b]=process.versions.node.split(".").map(Number);process.exit(a>20||(a===20&&b>=19)?0:1)' ||
    die "Node.js $(node --version) is too old; 20.19 or later is needed"
}

# What root makes in a user's clone stays the user's.
give_back() {
  [ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@"
}

install_modules() {
  [ node_modules/.package-lock.json -nt package-lock.json ] && return
  say "installing the locked npm packages (no install scripts run)"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error ||
    die "npm could not install the packages; try: npm ci --ignore-scripts"
  touch node_modules/.package-lock.json
  give_back node_modules
}

build() {
  if [ -e dist/.built ] && [ -z "$(find src tsconfig.json package-lock.json deploy/build.mjs -newer dist/.built -print -quit)" ]; then
    return
  fi
  say "building"
  node deploy/build.mjs || die "the build failed; try: npm run build"
  touch dist/.built
  give_back dist
}

prepare() {
  require_node
  install_packages "$@"
  install_modules
  build
}

# Debian's default interface for traffic to the outside, for a Suricata that we start.
default_interface() {
  ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1
}

start_suricata() {
  if pgrep -x 'Suricata-Main' >/dev/null 2>&1; then
    say "Suricata runs already"
    return
  fi
  local interface rules=/var/lib/suricata/rules/suricata.rules
  interface=$(default_interface)
  [ -n "$interface" ] || die "there is no default route, so no interface for Suricata; start it yourself: suricata -D --af-packet=INTERFACE"
  if [ ! -s "$rules" ]; then
    mkdir -p "$(dirname "$rules")"
    say "fetching rules with suricata-update"
    if ! { command -v suricata-update >/dev/null && suricata-update --quiet; }; then
      say "suricata-update is not possible here; using the rules of the package (engine events only, which never ban)"
      cat /etc/suricata/rules/*.rules >"$rules"
    fi
  fi
  say "starting Suricata on $interface"
  suricata -D --af-packet="$interface" -c /etc/suricata/suricata.yaml -S "$rules" --pidfile /run/suricata-barricata.pid >/dev/null ||
    die "Suricata did not start; see /var/log/suricata/suricata.log"
}

verb=${1:-start}
[ $# -gt 0 ] && shift
case "$verb" in
  start)
    require_root start
    arguments=()
    with_suricata=
    for argument in "$@"; do
      if [ "$argument" = --with-suricata ]; then with_suricata=yes; else arguments+=("$argument"); fi
    done
    prepare $RUNTIME_PACKAGES ${with_suricata:+suricata}
    [ -z "$with_suricata" ] || start_suricata
    exec node dist/cli/main.js run --config config/barricata.yaml --on-stop remove "${arguments[@]}"
    ;;
  test)
    require_root test
    prepare $RUNTIME_PACKAGES $TEST_PACKAGES suricata
    exec node node_modules/vitest/vitest.mjs run "$@"
    ;;
  demo)
    require_root 'run demo'
    prepare $RUNTIME_PACKAGES $DEMO_PACKAGES suricata
    exec node deploy/demo/demo.mjs "$@"
    ;;
  bench)
    require_root 'run bench'
    prepare $RUNTIME_PACKAGES $TEST_PACKAGES
    exec node bench/run.mjs "$@"
    ;;
  *)
    die "unknown verb $verb: start, test, demo or bench"
    ;;
esac
