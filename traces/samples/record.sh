#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Make the sample recording again: sqlite3 under strace, imported to sqlite.tdw beside this script.
#
# The program creates a table, makes 2,000 inserts with a rollback journal, each its own transaction,
# switches to WAL, makes 2,000 more, checkpoints and checks its work. It runs in a fresh directory of
# a neutral name with an empty environment, so the recording holds no names of this machine but
# those of Debian's packages. Needs sqlite3, strace (6.1 or later) and a built tdw; run it from
# anywhere: samples/record.sh [TDW]. Takes about a minute.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
tdw=${1:-$here/../../build/tdw}
work=/tmp/sample

case $tdw in
/*) ;;
*) tdw=$(pwd)/$tdw ;;
esac
test -x "$tdw" || { echo "record.sh: no program $tdw: build it first, or name it" >&2; exit 2; }

# A directory that somebody else made is not ours to use.
mkdir -m 700 "$work" || { echo "record.sh: $work is in use" >&2; exit 2; }
trap 'rm -rf "$work"' EXIT
cd "$work"

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

env -i PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C strace -o trace.txt -f -yy -v -s 0 -X raw \
    --absolute-timestamps=format:unix,precision:ns --syscall-times=ns \
    /usr/bin/sqlite3 -init /dev/null -batch data.db < script.sql > answers.txt 2> errors.txt

tail -n 2 answers.txt
"$tdw" import strace trace.txt -o "$here/sqlite.tdw"
ls -l "$here/sqlite.tdw"
