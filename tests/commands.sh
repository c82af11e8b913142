#!/bin/sh
# SPDX-License-Identifier: MIT
#
# commands.sh OUT: the command line as a user meets it: exit codes, suggestions, bad input.
set -u
out=$1
tmp=$out/commands
rm -rf "$tmp"
mkdir -p "$tmp"
passed=0 failed=0

# expect CODE TEXT COMMAND…: it ends with CODE and says TEXT somewhere.
expect() {
    code=$1 text=$2
    shift 2
    "$@" >"$tmp/said" 2>&1
    got=$?
    if [ $got -eq "$code" ] && grep -qF -- "$text" "$tmp/said"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "commands: $*: expected exit $code and '$text', got exit $got:" >&2
        head -5 "$tmp/said" >&2
    fi
}

# FILE:LINE of what stands in an example, once.
place() {
    echo "$1:$(grep -n -- "$2" "$1" | cut -d: -f1)"
}

tdw=$out/tdw store=$out/examples/store bug=$out/examples/store-bug
hears=$(place examples/store/stackful.c 'tdw_recv(fd, wire') asks=$(place examples/store/stackful.c 'recv, \*fd')
sample=traces/samples/sqlite.tdw

expect 2 "usage: tdw" "$tdw"
expect 0 "usage: tdw" "$tdw" --help
expect 0 "tdw 0." "$tdw" version
expect 2 "did you mean replay?" "$tdw" repaly
expect 2 "which program?" "$tdw" run
expect 2 "is not a tidewheel program" "$tdw" run /bin/true
expect 2 "No such file" "$tdw" run "$tmp/nothing"
expect 0 "ok" "$tdw" run "$store" -n 20 agreement
expect 0 "durability" "$store" --list
expect 2 "did you mean --runs?" "$store" --rusn 5
expect 2 "did you mean agreement?" "$store" agreemint
expect 125 "no scenario" "$store" agreemint --bisect
expect 4 "" "$store" -n 0
expect 1 "FAILED" "$bug" -n 500 durability --trace-dir "$tmp"
expect 1 "\"failures\": 1" "$bug" -n 500 durability --json --trace-dir "$tmp"
expect 1 "fails as before" "$tdw" replay "$tmp"/durability-*.tdw
expect 1 "choices applied: check failed" "$bug" --replay "$(ls "$tmp"/durability-*.tdw)" --guided
expect 0 "choices applied: nothing failed" "$store" --replay "$(ls "$tmp"/durability-*.tdw)" --guided
expect 3 "replay diverged" "$store" --replay "$(ls "$tmp"/durability-*.tdw)"
expect 0 "run" "$tdw" stat "$tmp"/durability-*.tdw

# Plans: what is wrong with one is told by place; a run under one is kept and replayed with it.
printf 'rules:\n- {name: few, point: tdw/op/*/delay, p: 5%%}\n- {point: tdw/op/pwrite/eror}\n' > "$tmp/plan"
expect 2 "plan:3:11: no point matches" "$tdw" plan check "$tmp/plan"
expect 2 "plan:3:11: no point matches" "$store" --plan "$tmp/plan"
expect 0 "2 rules" "$tdw" plan check "$tmp/plan" --set rules.1.point=tdw/op/write/error
expect 0 "p: 0.25" "$tdw" plan show "$tmp/plan" --set rules.1.point=app/x --set rules.0.p=25%
expect 0 "flaky-disk" "$tdw" plan list
expect 2 "did you mean" "$tdw" plan check none --set rules.0.pont=x
expect 2 "No such file" "$tdw" plan show "$tmp/nothing"
expect 2 "list, check FILE" "$tdw" plan
expect 2 "neither a file nor a preset" "$store" --plan nothing
expect 0 "tdw/op/fsync/error	gate	EDQUOT" "$tdw" points
expect 0 "tdw/op/sendmsg/short	gate" "$tdw" points
expect 0 "tdw/op/resolve/error	gate	EAGAIN ENOMEM" "$tdw" points
sed -i 3d "$tmp/plan"
expect 0 "few " "$out/examples/echo" -n 30 --plan "$tmp/plan" --require-fired
expect 6 "never hit" "$out/examples/echo" -n 30 --plan "$tmp/plan" --require-fired --set rules.0.point=app/x
expect 0 '"fires": ' "$out/examples/echo" -n 30 --plan "$tmp/plan" --json
# A plan goes into the trace of a run that fails; one that does not fit is told before any run.
awk 'BEGIN { print "rules:"; for (i = 0; i < 256; i++)
    printf "- {name: \"%0100d\", point: app/x}\n", i }' >"$tmp/long"
expect 0 "256 rules" "$tdw" plan check "$tmp/long"
shown=$("$tdw" plan show "$tmp/long" | wc -c)
expect 2 "long is too long to be kept in a trace: $shown bytes" "$store" -n 1 --plan "$tmp/long"
expect 2 "32768 are allowed" "$store" -n 1 --plan "$tmp/long"
expect 2 "the plan is too long" "$store" -n 1 --set "rules.0.point=$(printf '%033000d' 0)"
# To the byte: a name fills what is left.
line='rules.0.point=app/x'
bare=$("$tdw" plan show none --set 'rules=[{name: "", point: app/x}]' | wc -c)
expect 0 "ok" "$store" agreement -n 1 --set "$line" \
    --set "rules.0.name=$(printf "%0$((32768 - bare))d" 0)"
expect 2 "32769 bytes" "$store" agreement -n 1 --set "$line" \
    --set "rules.0.name=$(printf "%0$((32769 - bare))d" 0)"
# Models allocate differently.
cat >"$tmp/memory" <<END
rules:
  - {name: no memory, point: tdw/memory/malloc, p: 5%}
END
expect 0 "no memory: tdw/memory/malloc is left out in lockstep" "$store" -n 20 agreement --plan "$tmp/memory"
expect 6 "never hit" "$store" -n 20 agreement --plan "$tmp/memory" --require-fired
expect 0 "never fired" "$store" -n 20 agreement --plan "$tmp/memory" -m stackful --set rules.0.p=0
expect 1 "--lockstep" "$bug" -n 500 durability --plan "$tmp/memory" --trace-dir "$tmp/memories"
expect 1 "fails as before" "$bug" --replay "$(ls "$tmp"/memories/*.tdw)"
# Code that knows libfiu alone, in a shared library of its own.
user=$out/scenarios/libfiu-user
if [ -x "$user" ]; then
    expect 0 "ok" "$tdw" run "$user" -n 100
    expect 1 "the ledger's sum is" "$tdw" run "$user" -n 100 --set 'rules.0.point=app/*' \
        --set rules.0.p=1% --trace-dir "$tmp/fiu"
    expect 1 "fails as before: check failed" "$tdw" replay "$(ls "$tmp"/fiu/*.tdw)"
    expect 0 "ok" "$user" -n 100 --set rules.0.point=app/ledger/begin --set rules.0.p=10% --require-fired
fi
# From outside, on the real kernel, as libfiu's users know it. (A sanitizer refuses to be preloaded.)
if [ -x "$user" ] && fiu-run -x -f "$tmp/ctrl" "$user" --list >/dev/null 2>&1; then
    expect 1 "the ledger's sum is" fiu-run -f "$tmp/ctrl" -c 'enable_random name=app/ledger/post,probability=0.5' \
        "$user" --backend epoll
    expect 1 "directory: -5" fiu-run -x -f "$tmp/ctrl" -c 'enable name=posix/io/sync/fsync,failinfo=5' \
        "$store" agreement --backend epoll -m stackful
    expect 0 "ok" fiu-run -x -f "$tmp/ctrl" -c 'enable name=posix/io/rw/write' \
        "$store" agreement --backend epoll -m stackful
fi
expect 0 "$hears recv" "$store" agreement --strategy calm \
    --set rules.0.point=tdw/op/recv/error --set rules.0.exhaustive=true
expect 1 "each hit failed once" "$store" agreement --strategy calm -m stackful --trace-dir "$tmp/each" \
    --set rules.0.point=tdw/op/fsync/error --set rules.0.exhaustive=true
expect 1 "fails as before" "$store" --replay "$(ls "$tmp"/each/*.tdw)"
# Pairs: a sweep ends by itself, or says that it did not.
pairs="--strategy calm -m stackful --set rules.0.exhaustive=pairs --set rules.0.point"
expect 0 "$hears recv, $asks recv " "$store" agreement $pairs=tdw/op/recv/error
expect 0 "the sweep did not come to its end: -n" "$store" agreement $pairs=tdw/op/recv/error -n 50
expect 1 "each pair of hits failed once" "$out/examples/echo" -n 100000 $pairs=tdw/op/recv/error \
    --trace-dir "$tmp/pairs"
grep -q "did not come to its end" "$tmp/said" && { echo "commands: a sweep has no end" >&2; failed=$((failed + 1)); }
expect 1 "with hit 1 failed, at $(place examples/echo/stackful.c 'tdw_recv(fd, in + got') recv" "$out/examples/echo" -n 9 \
    $pairs=tdw/op/recv/error --trace-dir "$tmp/pairs"
expect 1 "fails as before" "$out/examples/echo" --replay "$(ls "$tmp"/pairs/*.tdw)"
# How far it is, is told on a terminal, and nowhere else.
if command -v script >/dev/null; then
    expect 0 " /s, 0 findings" script -qec "'$store' agreement -m callback -t 2s >'$tmp/told'" /dev/null
    expect 0 "agreement " grep -v "$(printf '\033')" "$tmp/told"
    expect 1 " findings, at hits " script -qec "'$store' agreement $pairs='tdw/op/re*/*' -j 1 -t 2s \
        --trace-dir '$tmp/pairs'" /dev/null
    expect 0 "no progress" script -qec "'$store' agreement -m callback -t 2s -q && echo no progress" /dev/null
    [ "$(wc -l <"$tmp/said")" -eq 1 ] || { echo "commands: --quiet tells progress" >&2; failed=$((failed + 1)); }
fi
"$store" agreement -m callback -t 2s 2>"$tmp/said" >"$tmp/told"
[ -s "$tmp/said" ] && { echo "commands: progress without a terminal" >&2; failed=$((failed + 1)); }
expect 0 "(no line) tdw/net/delay" "$store" agreement $pairs=tdw/net/delay -n 20
expect 2 "a plan does one of them" "$store" $pairs=app/x \
    --set 'rules.1={point: app/y, exhaustive: true}'
expect 0 "lost packets" "$store" durability -n 40 --plan slow-network
expect 0 "cut off" "$store" -n 40 --plan split-brain
expect 0 "overload" "$store" -n 60 --plan chaos
expect 0 "a torn record ends the log " "$store" agreement -n 2
expect 0 "power cuts" "$store" agreement -n 3 --plan power-cut --crash every
expect 0 "does not say what has to survive" "$out/examples/echo" -n 3 --crash every
expect 1 "us; after a power cut of server at" "$bug" agreement -n 3 \
    --plan power-cut --crash every --trace-dir "$tmp/cuts"
expect 1 "fails as before: key" "$bug" --replay "$(ls "$tmp"/cuts/agreement-*.tdw)"
expect 0 "no place" sh -c '"$0" --replay "$1" | grep -q " at :0" || echo no place' \
    "$bug" "$(ls "$tmp"/cuts/agreement-*.tdw)"
expect 1 "acknowledged and are lost" "$store" agreement -n 3 --plan power-cut --crash every \
    --set 'disks.*.persistence=no-barriers' --trace-dir "$tmp/cuts"
expect 2 "is not good for it" "$store" --crash sometimes
expect 1 "FAILED" "$store" durability -n 300 --plan flaky-disk --trace-dir "$tmp/plan-runs"
expect 1 "fails as before" "$store" --replay "$(ls "$tmp"/plan-runs/durability-*.tdw)"
expect 0 "crash" "$tdw" show "$tmp"/durability-*.tdw
expect 0 "\"mismatches\": 0" "$tdw" replay "$sample" --json
expect 0 "\"unsupported\": 0" "$tdw" replay "$sample" --json --model stackful --pace closed
expect 2 "--pace is" "$tdw" replay "$sample" --pace soon
expect 2 "which file" "$tdw" replay
expect 0 "unsupported  0" "$tdw" stat "$sample"
expect 2 "where the recording goes" "$tdw" import strace "$sample"
expect 2 "what from?" "$tdw" import
expect 2 "where does the recording go?" "$tdw" record
expect 2 "of what?" "$tdw" record -o "$tmp/x.tdw"
expect 2 "of what?" "$tdw" record -o "$tmp/x.tdw" -p 1 -- true
expect 2 "an unknown option" "$tdw" record -o "$tmp/x.tdw" true
expect 2 "the number of a process" "$tdw" record -o "$tmp/x.tdw" -p one
expect 2 "a power of two" "$tdw" record -o "$tmp/x.tdw" --ring 5000 -- true

# Servers, with everybody who talked to them from outside: sockets, epoll, threads, forks, signals.
for server in redis nginx; do
    recording=traces/samples/$server.tdw
    expect 0 "\"mismatches\": 0" "$tdw" replay "$recording" --model all --json
    expect 0 "\"digests_equal\": true" "$tdw" replay "$recording" --model all --json
    expect 0 "\"unsupported\": 0" "$tdw" replay "$recording" --json --strict-fd
    expect 0 "0 mismatches, digests equal" "$tdw" replay "$recording" -n 10 --schedule adversary
    expect 0 "0 mismatches, digests equal" "$tdw" replay "$recording" --pace recorded
    expect 0 "0 mismatches, digests equal" "$tdw" replay "$recording" --pace closed
    expect 0 "unsupported  0" "$tdw" stat "$recording"
done

# Bad traces: a clear error, the offset, no crash.
: >"$tmp/empty"
head -c 100000 "$sample" >"$tmp/cut"
{ head -c 5000 "$sample"; printf 'X'; tail -c +5002 "$sample"; } >"$tmp/flipped"
expect 7 "" "$tdw" stat "$tmp/empty"
expect 7 "not" "$tdw" stat /bin/true
expect 7 "" "$tdw" stat "$tmp/cut"
expect 7 "" "$tdw" stat "$tmp/flipped"
expect 2 "" "$tdw" replay "$tmp/empty"
expect 2 "byte" "$tdw" replay "$tmp/cut"
expect 2 "byte" "$tdw" replay "$tmp/flipped"

# A shell and its children: forks, a pipe, exec, wait.
expect 0 "unsupported      0" "$tdw" import strace tests/replay/pipeline.strace -o "$tmp/pipeline.tdw"
expect 0 "0 mismatches, digests equal" "$tdw" replay "$tmp/pipeline.tdw"
expect 0 "0 mismatches, digests equal" "$tdw" replay "$tmp/pipeline.tdw" -n 20 --schedule adversary

# A recording made from text.
printf '%s\n' '1 1700000000.000000001 openat(AT_FDCWD, "/x", O_RDONLY) = -1 ENOENT (No such file or directory) <0.000010000>' \
    'this is no line of strace' >"$tmp/trace.txt"
expect 0 "" "$tdw" import strace "$tmp/trace.txt" -o "$tmp/one.tdw"
expect 0 "0 mismatches" "$tdw" replay "$tmp/one.tdw"

# Ordinary liburing programs: what they print is the same on the real kernel and on the simulated
# one, calm and under both schedules; and what they wrote is what they read.
lu=$out/examples/liburing
head -c 70001 "$sample" >"$tmp/in"
same() {
    for with in calm:timed random:timed random:adversary; do
        TDW_STRATEGY=${with%:*} TDW_SCHEDULE=${with#*:} "$lu/$1-sim" $2 >"$tmp/sim" 2>&1
        sim=$?
        "$lu/$1-real" $2 >"$tmp/real" 2>&1
        if [ $? -eq $sim ] && cmp -s "$tmp/sim" "$tmp/real"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "commands: $1 $2 ($with): the simulated kernel's output is not the real one's:" >&2
            head -c 300 "$tmp/sim" >&2
        fi
    done
}
same cat "$tmp/in"
same cat "$tmp/missing"
same cp "$tmp/in $tmp/out"
cmp -s "$tmp/in" "$tmp/out" || { echo "commands: cp did not copy" >&2; failed=$((failed + 1)); }
same echo "8 20"

# The real kernel: every scenario of every example in three models, on both backends; traces of it;
# what is refused there, and what nobody has.
for backend in uring epoll; do
    [ $backend = epoll ] || [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ] ||
        continue
    for example in echo store proxy lease; do
        expect 0 "ok" "$out/examples/$example" --backend $backend
    done
    expect 0 "no power cuts" "$store" durability -m callback --backend $backend
    expect 0 "ok" "$store" agreement -m stackful --backend $backend --trace "$tmp/real.tdw"
    expect 0 "$backend" "$tdw" stat "$tmp/real.tdw"
    expect 0 "FSYNC" "$tdw" stat "$tmp/real.tdw"
    expect 0 "deliver" "$tdw" show "$tmp/real.tdw"
    expect 5 "real kernel" "$tdw" replay "$tmp/real.tdw"
    expect 0 "stackful" "$tdw" models "$out/examples/echo" --backend $backend
    expect 0 "$hears recv" "$store" agreement -m stackful -n 20 \
        --backend $backend --set rules.0.point=tdw/op/recv/error --set rules.0.exhaustive=true
done
expect 0 "stackless" "$tdw" models "$out/examples/echo" --backend sim
expect 2 "there is no option" "$tdw" models "$out/examples/echo" --bakend sim
expect 2 "not a tidewheel program" "$tdw" models /bin/true
expect 2 "uring or epoll" "$store" --backend kqueue
expect 2 "--trace is for" "$store" --trace "$tmp/x.tdw"
expect 1 "could not be made" "$store" agreement --backend epoll --trace "$tmp/nowhere/x.tdw"
expect 2 "usage" "$store" -- serve
expect 2 "usage" "$store" -- serve 6000 threads
expect 2 "no backend 'kqueue'" env TDW_BACKEND=kqueue "$out/examples/echo" -- serve 7000
expect 0 "no clients outside" env TDW_BACKEND=sim "$out/examples/echo" -- serve 7000

echo "  commands: $passed as expected, $failed not"
[ $failed -eq 0 ]
