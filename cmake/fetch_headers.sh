#!/bin/sh
# Unpacks Debian packages into a folder without installing them: needs apt, not root.
#   fetch_headers.sh FOLDER PACKAGE...
# A package already unpacked is left alone. Prints one line and fails when a package can't be had.
set -u
folder=$1
shift
mkdir -p "$folder/.done" || exit 1
work=$(mktemp -d "$folder/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

fail() {
  echo "Missing third-party packages: $*. Install them (apt-get install $*)" \
    "or run 'apt-get update' once so that they can be downloaded." >&2
  exit 1
}

missing=""
for package in "$@"; do
  [ -e "$folder/.done/$package" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail $missing

cd "$work" || exit 1
# As root a missing package list is fetched; the log shows only when that did not help either.
if ! apt-get download $missing >log 2>&1; then
  [ "$(id -u)" = 0 ] && apt-get update >>log 2>&1 && apt-get download $missing >>log 2>&1 ||
    fail $missing
fi
for package in $missing; do
  dpkg-deb -x "$package"_*.deb tree || fail "$package"
done
cp -a tree/. "$folder/" && for package in $missing; do : >"$folder/.done/$package"; done
