#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh TIER: the Debian packages that a tier of targets needs, installed if they are missing.
#
# Prints what it is about to install, then asks apt for it: without recommended packages, waiting
# for other package managers, never starting a daemon. With DEPS=no it installs nothing, touches no
# network, and the error names the packages.
set -eu

case "${1:-}" in
core) packages="libc6-dev pkg-config liburing-dev libxxhash-dev libzstd-dev libfyaml-dev libfiu-dev" ;;
check) packages="libcmocka-dev manpages manpages-dev strace sqlite3 libsqlite3-dev clang libclang-rt-14-dev" ;;
bpf) packages="clang llvm bpftool libbpf-dev" ;;
man) packages="scdoc" ;;
bench) packages="libboost-context-dev g++ libsimgrid-dev libns3-dev libuv1-dev libevent-dev fio" ;;
lint) packages="cppcheck clang-format" ;;
samples) packages="strace sqlite3 redis-server redis-tools nginx apache2-utils" ;;
portable) packages="clang gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" ;;
*) echo "usage: deps.sh core|check|bpf|man|bench|lint|samples|portable" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "  deps    no dpkg here; needed for '$1' are what Debian calls: $packages"
    exit 0
fi

missing=
for package in $packages; do
    case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
    *" installed") ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "${DEPS:-yes}" = no ]; then
    echo "tidewheel: missing for '$1':$missing" >&2
    echo "tidewheel: install them, or run make without DEPS=no" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "tidewheel: missing for '$1':$missing; become root to install them" >&2
        exit 1
    }
    as_root=sudo
fi
echo "  deps    installing for '$1':$missing"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt="$as_root apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -qq"
log=$(mktemp)
if ! $apt install -y --no-install-recommends $missing >"$log" 2>&1; then
    # The lists may be missing or old.
    if ! { $apt update && $apt install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        exit 1
    fi
fi
rm -f "$log"
