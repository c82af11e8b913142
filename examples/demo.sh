#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What `make demo` shows: a store written three times runs under seeds and crashes, in lockstep; a
# planted bug is found, and its run is repeated three times; a recording of sqlite3 drives the three
# models. Ends 0 only if all of it is as promised.
set -u
out=${1:-build}
failures=$out/failures
rm -rf "$failures"
bad=0

title() {
    printf '\n── %s\n' "$1"
}

expect() { # what is expected, and what came
    if [ "$1" != "$2" ]; then
        echo "demo: expected exit $1, got $2" >&2
        bad=1
    fi
}

title "One store, three models, the same choices: equal digests"
"$out/tdw" run "$out/examples/store" -n 2000
expect 0 $?

title "The same under an adversary: anything that is not blocked may be next"
"$out/tdw" run "$out/examples/store" -n 2000 --schedule adversary
expect 0 $?

title "A planted bug (acknowledge before fsync): found"
"$out/tdw" run "$out/examples/store-bug" durability -n 2000 --trace-dir "$failures"
expect 1 $?

title "Its run, replayed three times: identical"
kept=$(ls "$failures"/durability-*.tdw)
for i in 1 2 3; do
    "$out/tdw" replay "$kept" >"$failures/replay-$i.txt"
    expect 1 $?
done
cat "$failures/replay-1.txt"
cmp "$failures/replay-1.txt" "$failures/replay-2.txt" &&
    cmp "$failures/replay-1.txt" "$failures/replay-3.txt" && echo "three times the same" || bad=1

title "A recording of sqlite3, 4,000 transactions, through the three models"
"$out/tdw" replay traces/samples/sqlite.tdw
expect 0 $?

title "What the models cost here"
"$out/tdw" models
expect 0 $?

if [ $bad -eq 0 ]; then echo; echo "demo: all as promised"; fi
exit $bad
