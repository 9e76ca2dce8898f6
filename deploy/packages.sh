# Debian and Ubuntu packages that Barricata needs, sourced by setup.sh.
# Each is named with the command that shows whether it is there, so that a
# machine that has everything is left alone and asked nothing.

RUNTIME_PACKAGES="redis-server ipset iptables nftables conntrack iproute2"
TEST_PACKAGES="redis-tools hping3 nmap wrk iputils-ping curl python3 procps tmux"
DEMO_PACKAGES="redis-tools curl python3"

command_of() {
  case "$1" in
    nftables) echo nft ;;
    iproute2) echo ip ;;
    redis-tools) echo redis-cli ;;
    iputils-ping) echo ping ;;
    procps) echo pgrep ;;
    *) echo "$1" ;;
  esac
}

# apt with its answers given, services neither started nor enabled (policy-rc.d), and no questions.
apt_quiet() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"
}

without_services() {
  local policy=/usr/sbin/policy-rc.d kept='' status=0
  if [ -e "$policy" ]; then kept=$(mktemp) && cp -p "$policy" "$kept"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  "$@" || status=$?
  rm -f "$policy"
  if [ -n "$kept" ]; then mv "$kept" "$policy"; fi
  return $status
}

# Packages install their units as enabled; those that we brought in are switched off again.
leave_disabled() {
  command -v systemctl >/dev/null || return 0
  local unit
  for unit in "$@"; do systemctl --quiet disable "$unit" >/dev/null 2>&1 || true; done
}

# Not `apt-cache | grep -q`: grep ends early, and under pipefail that is a failure now and then.
is_installable() {
  local policy
  policy=$(apt-cache policy "$1")
  [[ $policy == *'Candidate: '[^\(]* ]]
}

# Where a package can be had from backports only, what it depends on must be taken from there too.
release_options() {
  local policy codename
  policy=$(apt-cache policy "$1")
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [[ $policy != *"$codename-backports/"* || $policy == *" $codename/main"* ]] || printf '%s\n' -t "$codename-backports"
}

# Suricata is in Debian 13 and Ubuntu themselves and in the backports of Debian 12,
# which are added beside the machine's own sources and from the same archive.
ensure_suricata_source() {
  is_installable suricata && return
  local codename archive key
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  archive=$(
    {
      sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources
      sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
    } 2>/dev/null | tr ' ' '\n' | grep -v security | grep '/debian/*$' | head -n 1
  )
  key=$(sed -n 's/^Signed-By: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep '^/' | head -n 1)
  [ -n "$codename" ] && [ -n "$archive" ] || return 1
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$archive" "$codename"
    [ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
  } >/etc/apt/sources.list.d/barricata-backports.sources
  say "Suricata comes from $codename-backports: added /etc/apt/sources.list.d/barricata-backports.sources"
  apt_quiet update >/dev/null || true
  if ! is_installable suricata; then
    rm -f /etc/apt/sources.list.d/barricata-backports.sources
    return 1
  fi
}

install_packages() {
  local missing=() name
  for name in "$@"; do command -v "$(command_of "$name")" >/dev/null || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]}; this is no Debian or Ubuntu, so install them yourself"
  say "missing: ${missing[*]}"
  say "apt will install them with what they depend on; no service is started or enabled"
  apt_quiet update >/dev/null || say "apt-get update failed; going on with the package lists of before"
  if [[ " ${missing[*]} " == *' suricata '* ]] && ! ensure_suricata_source; then
    say "this machine's archives have no Suricata; what needs it is left out"
    missing=("${missing[@]/suricata/}")
  fi
  local log options plain=()
  log=$(mktemp)
  install_or_die() {
    without_services apt_quiet install --no-install-recommends "$@" >"$log" 2>&1 || {
      tail -n 20 "$log" >&2
      die "apt could not install them; repair with: apt-get install $*"
    }
  }
  for name in ${missing[@]}; do
    options=$(release_options "$name")
    # shellcheck disable=SC2086
    if [ -n "$options" ]; then install_or_die $options "$name"; else plain+=("$name"); fi
  done
  [ ${#plain[@]} = 0 ] || install_or_die "${plain[@]}"
  rm -f "$log"
  leave_disabled ${missing[@]}
}
