# shellcheck shell=bash
# Debian packages that scripts need. To be sourced in the project's root.

# Debian's `su` and plain users have no sbin on the PATH.
PATH=$PATH:/usr/sbin:/sbin

# install_missing NAME COMMAND:PACKAGE...: installs the packages whose commands are not there. NAME is who asks.
install_missing() {
  local name=$1 tool missing=() packages
  for tool in "${@:2}"; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  packages=$(printf '%s\n' "${missing[@]}" | sort -u | paste -sd' ')
  if [ "$(id -u)" -ne 0 ]; then
    complain "$name" "these packages are missing: $packages" "As root: apt-get update && apt-get install -y $packages"
  fi
  if ! command -v apt-get >/dev/null; then
    complain "$name" "this is no Debian or Ubuntu, and these packages are missing: $packages" "Install them with the system's own tools."
  fi
  echo "$name: installing $packages" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || echo "$name: apt-get update failed; going on with the package lists that are here" >&2
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null ||
    complain "$name" "apt-get could not install $packages" "Its own words are above; often the network or another apt-get is in the way."
}

# complain NAME WHAT REMEDY: ends the script.
complain() {
  printf '%s: %s\n  → %s\n' "$1" "$2" "$3" >&2
  exit 1
}
