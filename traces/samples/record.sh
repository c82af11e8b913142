#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Make the sample recordings again: real programs under strace, imported to .tdw files beside this
# script.
#
#     sqlite   a table, 2,000 inserts with a rollback journal, each its own transaction, 2,000 more in
#              WAL mode, a checkpoint, a check
#     redis    redis-server with an append-only file; redis-benchmark with 20 clients, some 6,000
#              commands, and among them the order to rewrite the file, which forks; then it is told to
#              shut down
#     nginx    a master and two workers; some 600 requests for files of three sizes, with and without
#              keep-alive, and for one that is not there; then it is told to quit
#
# Only the servers are recorded: their clients are outside of the recording. Each runs in a fresh
# directory of a neutral name with an empty environment, so that the recordings hold no names of this
# machine but those of Debian's packages. Needs what `deps.sh samples` installs (strace 6.1 or
# later), root, and a built tdw; the ports 7379 and 8089 must be free. Run it from anywhere:
#
#     samples/record.sh [TDW [NAME…]]

set -eu

here=$(cd "$(dirname "$0")" && pwd)
tdw=${1:-$here/../../build/tdw}
[ $# -eq 0 ] || shift
work=/tmp/sample

case $tdw in
/*) ;;
*) tdw=$(pwd)/$tdw ;;
esac
test -x "$tdw" || { echo "record.sh: no program $tdw: build it first, or name it" >&2; exit 2; }

# A directory that somebody else made is not ours to use.
mkdir -m 700 "$work" || { echo "record.sh: $work is in use" >&2; exit 2; }
trap 'rm -rf "$work"' EXIT

# record COMMAND…: run it under strace, with its own input and output.
record() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C \
        strace -o trace.txt -f -yy -v -s 0 -X raw --absolute-timestamps=format:unix,precision:ns \
        --syscall-times=ns "$@"
}

# until_it_answers COMMAND…: for at most ten seconds.
until_it_answers() {
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    echo "record.sh: it does not answer: $*" >&2
    return 1
}

record_sqlite() {
    {
        echo '.bail on'
        echo 'PRAGMA journal_mode=DELETE;'
        echo 'CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT NOT NULL, n INTEGER);'
        seq 1 2000 | sed "s/.*/INSERT INTO t(word, n) VALUES('tide &', &);/"
        echo 'PRAGMA journal_mode=WAL;'
        seq 2001 4000 | sed "s/.*/INSERT INTO t(word, n) VALUES('wheel &', &);/"
        echo 'PRAGMA wal_checkpoint(TRUNCATE);'
        echo 'PRAGMA integrity_check;'
        echo 'SELECT count(*), sum(n) FROM t;'
    } > script.sql
    record /usr/bin/sqlite3 -init /dev/null -batch data.db < script.sql > answers.txt 2> errors.txt
    tail -n 2 answers.txt
}

record_redis() {
    record /usr/bin/redis-server --port 7379 --bind 127.0.0.1 --save '' --appendonly yes \
        > server.txt 2>&1 &
    server=$!
    until_it_answers redis-cli -p 7379 ping
    redis-benchmark -p 7379 -c 20 -n 750 -q -t set,get,incr,lpush | tr '\r' '\n' | grep requests
    redis-cli -p 7379 bgrewriteaof
    sleep 1 # the file is synced once a second, by a thread of its own
    redis-benchmark -p 7379 -c 20 -n 750 -q -t set,get,incr,lpush | tr '\r' '\n' | grep requests
    redis-cli -p 7379 shutdown
    wait $server
}

record_nginx() {
    mkdir files state
    head -c 200 /dev/zero | tr '\0' a > files/small.html
    head -c 20000 /dev/zero | tr '\0' b > files/medium.txt
    head -c 150000 /dev/zero | tr '\0' c > files/large.bin
    cat > nginx.conf <<EOF
user root;
worker_processes 2;
daemon off;
pid $work/nginx/state/nginx.pid;
error_log $work/nginx/state/error.log notice;
events { worker_connections 128; multi_accept on; }
http {
    types { text/html html; text/plain txt; }
    default_type application/octet-stream;
    access_log $work/nginx/state/access.log;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path $work/nginx/state/body;
    proxy_temp_path $work/nginx/state/proxy;
    fastcgi_temp_path $work/nginx/state/fastcgi;
    uwsgi_temp_path $work/nginx/state/uwsgi;
    scgi_temp_path $work/nginx/state/scgi;
    server { listen 127.0.0.1:8089; root $work/nginx/files; }
}
EOF
    record /usr/sbin/nginx -e "$work/nginx/state/error.log" -c "$work/nginx/nginx.conf" > server.txt 2>&1 &
    server=$!
    until_it_answers ab -q -n 1 http://127.0.0.1:8089/small.html
    for what in "-n 250 -c 20 -k small.html" "-n 100 -c 20 medium.txt" "-n 100 -c 16 -k large.bin" \
        "-n 100 -c 20 -k medium.txt" "-n 50 -c 20 missing"; do
        # shellcheck disable=SC2086
        ab -q ${what% *} "http://127.0.0.1:8089/${what##* }" | grep Complete
    done
    kill -QUIT "$(cat state/nginx.pid)"
    wait $server
}

for name in ${*:-sqlite redis nginx}; do
    mkdir "$work/$name"
    cd "$work/$name"
    "record_$name"
    "$tdw" import strace trace.txt -o "$here/$name.tdw"
    ls -l "$here/$name.tdw"
    cd "$work"
done
