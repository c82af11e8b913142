#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh OUT: the recorder on this kernel, as its promises read. Needs root.
#
#     sqlite    the same session recorded by us and by strace has the same calls in every row, and
#               ours replays in three models with equal digests and no mismatch
#     rate      500,000 calls a second, nothing lost
#     losses    with a ring that is far too small, recorded and lost calls add up to what was made
#     status    the command's status is ours; SIGTERM ends a recording of a process
#
# Where BPF is refused it says why and ends with 77: the target counts it as skipped.
set -u
out=$(cd "$1" && pwd)
tdw=$out/tdw calls=$out/record-calls
tmp=$out/record
rm -rf "$tmp"
mkdir -p "$tmp/session"
passed=0 failed=0

# check WHAT COMMAND…: it must succeed.
check() {
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "check-record: $what" >&2
    fi
}

"$tdw" record -o "$tmp/true.tdw" -- /bin/true 2>"$tmp/said"
if [ $? -eq 5 ]; then
    echo "  record  skipped: $(head -1 "$tmp/said")"
    exit 77
fi

# How many calls a recording has, by what `tdw record` said last.
recorded() {
    sed -n 's/^recorded  *\([0-9]*\) calls, lost \([0-9]*\),.*/\1/p' "$1"
}
lost() {
    sed -n 's/^recorded  *\([0-9]*\) calls, lost \([0-9]*\),.*/\2/p' "$1"
}
rows() {
    sed -n '/^row /,/^covered/p' "$1" | awk '!/^row|^covered/ { $NF = ""; print }'
}

# ── sqlite ─────────────────────────────────────────────────────────────────────────────────────────
{
    echo '.bail on'
    echo 'PRAGMA journal_mode=WAL;'
    echo 'CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT NOT NULL, n INTEGER);'
    seq 1 2000 | sed "s/.*/INSERT INTO t(word, n) VALUES('tide &', &);/"
    echo 'PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check; SELECT count(*), sum(n) FROM t;'
} >"$tmp/script.sql"
# The session in an empty directory, under what is named.
session() {
    rm -rf "$tmp/session" && mkdir "$tmp/session" && cd "$tmp/session" || exit 7
    env -i PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C "$@" \
        /usr/bin/sqlite3 -init /dev/null -batch data.db <"$tmp/script.sql" 2>"$tmp/said"
    cd "$tmp" || exit 7
}
session strace -o "$tmp/trace.txt" -f -yy -v -s 0 -X raw \
    --absolute-timestamps=format:unix,precision:ns --syscall-times=ns >"$tmp/answers.strace"
"$tdw" import strace "$tmp/trace.txt" -o "$tmp/strace.tdw" >"$tmp/strace.txt"
session "$tdw" record -o "$tmp/sqlite.tdw" -- >"$tmp/answers.ours"
cp "$tmp/said" "$tmp/ours.txt"
rows "$tmp/strace.txt" >"$tmp/strace.rows"
rows "$tmp/ours.txt" >"$tmp/ours.rows"
check "sqlite answers otherwise when it is recorded" cmp "$tmp/answers.strace" "$tmp/answers.ours"
check "sqlite: other calls than under strace" diff "$tmp/strace.rows" "$tmp/ours.rows"
check "sqlite: calls were lost" [ "$(lost "$tmp/ours.txt")" = 0 ]
"$tdw" replay "$tmp/sqlite.tdw" --model all --json >"$tmp/replay.json"
check "sqlite: the replay has mismatches" grep -q '"mismatches": 0,$' "$tmp/replay.json"
check "sqlite: the models' digests differ" grep -q '"digests_equal": true' "$tmp/replay.json"
echo "  record  sqlite: $(recorded "$tmp/ours.txt") calls, rows as under strace;" \
    "replay: $(sed -n 's/^  "compared": \([0-9]*\),/\1/p' "$tmp/replay.json") compared in three models"
awk '{ printf "            %s\n", $0 }' "$tmp/ours.rows"

# ── Rate ───────────────────────────────────────────────────────────────────────────────────────────
"$tdw" record -o "$tmp/rate.tdw" -- "$calls" calls 2500000 2 500000 >"$tmp/rate" 2>"$tmp/said"
check "rate: $(lost "$tmp/said") calls were lost at $(cat "$tmp/rate") a second" \
    [ "$(lost "$tmp/said")" = 0 ]
check "rate: the generator was slow: $(cat "$tmp/rate") a second" [ "$(cat "$tmp/rate")" -ge 450000 ]
echo "  record  $(recorded "$tmp/said") calls at $(cat "$tmp/rate") a second: $(lost "$tmp/said") lost"

# ── Losses ─────────────────────────────────────────────────────────────────────────────────────────
"$tdw" record -o "$tmp/none.tdw" -- "$calls" calls 0 1 0 >/dev/null 2>"$tmp/said"
base=$(recorded "$tmp/said")
"$tdw" record --ring 65536 -o "$tmp/lost.tdw" -- "$calls" calls 300000 1 0 >/dev/null 2>"$tmp/said"
check "losses: nothing was lost in a ring of 64 KiB" [ "$(lost "$tmp/said")" -gt 0 ]
check "losses: $(recorded "$tmp/said") + $(lost "$tmp/said") is not $base + 300000" \
    [ $(($(recorded "$tmp/said") + $(lost "$tmp/said"))) -eq $((base + 300000)) ]
check "losses: the recording does not tell them" \
    [ "$("$tdw" stat "$tmp/lost.tdw" | sed -n 's/^lost  *\([0-9]*\) calls.*/\1/p')" = "$(lost "$tmp/said")" ]
echo "  record  a ring of 64 KiB: $(recorded "$tmp/said") recorded + $(lost "$tmp/said") lost =" \
    "$base + 300000 made"

# ── Status, signals, a process ─────────────────────────────────────────────────────────────────────
status() {
    "$tdw" record -o "$tmp/status.tdw" -- "$@" >/dev/null 2>&1
    echo $?
}
check "status: not that of the command" [ "$(status sh -c 'exit 7')" = 7 ]
check "status: not that of a signal" [ "$(status sh -c 'kill -9 $$')" = 137 ]
check "status: no such command" [ "$(status "$tmp/nothing")" = 2 ]
sh -c 'exec 7</etc/passwd; while :; do sleep 0.05; done' &
process=$!
"$tdw" record -o "$tmp/process.tdw" -p $process 2>"$tmp/said" &
recorder=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q '^recording' "$tmp/said" && break
    sleep 0.5
done
sleep 0.5
kill -TERM $recorder
wait $recorder
check "process: the recording did not end cleanly" [ $? -eq 0 ]
kill $process
"$tdw" show "$tmp/process.tdw" --setup >"$tmp/shown"
check "process: its descriptors are not told" grep -q 'descriptor /etc/passwd' "$tmp/shown"
check "process: its children were not followed" grep -q 'nanosleep' "$tmp/shown"

echo "  record  $passed as promised, $failed not"
[ $failed -eq 0 ]
