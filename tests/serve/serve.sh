#!/bin/sh
# SPDX-License-Identifier: MIT
#
# serve.sh BUILD [OPERATIONS [MIB]]: the examples as real servers, of real clients, on both backends.
#
# store: so many puts and gets; half-way the client kills the server (-9), which is started again, and
# whatever it had acknowledged must be there. proxy: so many MiB over 64 connections, compared byte by byte.
# Each backend serves with another model, and the next time with the next one.
set -eu
build=$1 operations=${2:-3000} mib=${3:-64}
here=$(pwd)
dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
port=$((20000 + $$ % 10000))

# start BACKEND EXAMPLE PORT MODEL [BACKEND-PORT]: in the scratch directory.
start() {
    (cd "$dir" && TDW_BACKEND=$1 exec "$here/$build/examples/$2" -- serve "$3" "$4" ${5:-}) &
    server=$!
}

stop() {
    kill -TERM "$server"
    wait "$server" || { echo "serve: the server ended with $?" >&2; exit 1; }
    server=
}

store() {
    port=$((port + 1))
    rm -f "$dir"/log "$dir"/snapshot*
    start "$1" store $port "$2"
    "$build/serve-client" store $port "$operations" "$server" > "$dir/out" &
    client=$!
    wait "$server" 2>/dev/null || true
    start "$1" store $port "$2"
    wait $client || { cat "$dir/out" >&2; exit 1; }
    stop
    echo "  serve   $1 $2: $(cat "$dir/out")"
}

proxy() {
    port=$((port + 2))
    start "$1" proxy $port "$2" $((port + 1))
    "$build/serve-client" proxy $port $((port + 1)) "$mib" > "$dir/out" || exit 1
    stop
    echo "  serve   $1 $2: $(cat "$dir/out")"
}

if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ]; then
    store uring callback
    store uring stackless
    store uring stackful
    proxy uring stackless
fi
store epoll callback
store epoll stackless
store epoll stackful
proxy epoll stackful
