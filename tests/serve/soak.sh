#!/bin/sh
# SPDX-License-Identifier: MIT
#
# soak.sh BUILD MESSAGES|SECONDSs: echo messages for a long time, on both backends, with flat memory.
#
# What a server holds after a tenth of the messages is what it may hold at the end, and a tenth more,
# and one MiB for what the system counts now and then.
set -eu
build=$1 amount=$2
here=$(pwd)
dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
port=$((20000 + $$ % 10000))

resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }

soak() {
    port=$((port + 1))
    (cd "$dir" && TDW_BACKEND=$1 exec "$here/$build/examples/echo" -- serve $port "$2") &
    server=$!
    case "$amount" in
    *s) first=$(((${amount%s} + 9) / 10))s ;;
    *) first=$((amount / 10)) ;;
    esac
    "$build/serve-client" echo $port 32 "$first" > "$dir/out"
    before=$(resident_kb)
    "$build/serve-client" echo $port 32 "$amount" > "$dir/out"
    after=$(resident_kb)
    kill -TERM "$server"
    wait "$server" || { echo "soak: the server ended with $?" >&2; exit 1; }
    server=
    echo "  soak    $1 $2: $(cat "$dir/out"); $before kB, then $after kB"
    if [ "$after" -gt $((before + before / 10 + 1024)) ]; then
        echo "soak: memory grew" >&2
        exit 1
    fi
}

if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ]; then
    soak uring stackless
fi
soak epoll callback
