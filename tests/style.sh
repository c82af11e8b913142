#!/bin/sh
# SPDX-License-Identifier: MIT
#
# style.sh: what reviewers would tire of. Each rule names what it bans, why, and what to do instead.
# It begins with a canary: a bad file made here, in which every rule must find something.
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
found=0

# rule NAME REASON PATTERN FILES…: no line of the files may match.
rule() {
    name=$1 reason=$2 pattern=$3
    shift 3
    hits=$(grep -nE "$pattern" "$@" /dev/null 2>/dev/null | grep -v '^[^:]*:[0-9]*: *\(\*\|/\*\)') || return 0
    printf '%s\n' "$hits" | head -5 | sed "s|^|style: $name: |"
    echo "       ($reason)"
    found=$((found + 1))
}

check_sources() {
    all=$1
    core=$2
    rule 'banned call' 'unbounded: snprintf, memcpy with a length' \
        '\b(strcpy|strcat|sprintf|gets|vsprintf)\(' $all
    rule 'banned call' 'not reproducible: tdw_choose, tdw_random' '\b(rand|srand|random|drand48)\(' $all
    rule 'clock' 'only the explorer and bench read the host clock: tdw_now, loop->now_ns' \
        '\b(clock_gettime|gettimeofday|time)\(' $core
    rule 'float' 'the digest must not depend on libm or rounding: integers, fixed point' \
        '\b(double|float)\b' $core
    rule 'allocation' 'locale and environment must not decide' '\b(setlocale|getenv)\(' $core
    rule 'line' 'at most 100 columns' '^.{101}' $all
    rule 'tab' 'four spaces' '	' $all
    rule 'conditional' 'no dead code' '^#if 0' $all
    rule 'include' 'a .c is compiled, not included' '#include [<"].*\.c[>"]' $all
}

check_directions() {
    rule 'direction' 'rooms depend downwards: include knows no room' \
        '#include <(runtime|sim|faults|traces|cli)/' include/tidewheel/*.h
    rule 'direction' 'runtime is below sim, faults, traces, cli' \
        '#include <(sim|faults|traces|cli)/' runtime/*.[ch] runtime/real/*.[ch]
    rule 'direction' 'sim/kernel is below explore, faults, traces, cli' \
        '#include <(sim/explore|faults|traces|cli)/' sim/kernel/*.[ch] sim/kernel/net/*.[ch]
    rule 'direction' 'traces is below explore and cli' '#include <(sim/explore|cli)/' traces/*.[ch] traces/ebpf/*.[ch]
}

check_files() {
    for file in $(git ls-files '*.c' '*.h' '*.S' 2>/dev/null); do
        [ -e "$file" ] || continue
        # The kernel takes some BPF functions from programs under its own licence only.
        licence=MIT
        case $file in *.bpf.c | */vmlinux.h) licence='GPL-2.0 OR BSD-2-Clause' ;; esac
        head -1 "$file" | grep -q "SPDX-License-Identifier: $licence" || {
            echo "style: $file: the first line is the licence's SPDX line"
            found=$((found + 1))
        }
        head -4 "$file" | grep -qE '^ \* .{10,}|^/\* .{20,}' || {
            echo "style: $file: an opening comment comes first: what it is for, and its invariants"
            found=$((found + 1))
        }
    done
    for so in build/libtidewheel.so; do
        [ -e "$so" ] || continue
        nm -D --defined-only "$so" | grep -vE ' [AVWu] ' | awk '{print $3}' | sed 's/@.*//' |
            grep -vE '^(tdw|fiu)_' && { # fiu_: in front of libfiu's (faults/fiu.c)
            echo "style: $so exports the names above; all public names begin with tdw_"
            found=$((found + 1))
        }
    done
}

# A difference that the conformance run forgives stands in the manual page, with its reason.
check_forgiven() {
    sed -n 's/^ *return "\(.*\)";$/\1/p' tests/conformance/compare.c | while read -r rule; do
        grep -q "^_${rule}_\." docs/man/tdw-sim.7.scd || echo "style: tdw-sim(7) lacks '$rule'"
    done
}

# Each key of a plan stands in its manual page: as *key*, or as a heading of its own.
check_keys() {
    grep -o '{"[a-z_]*", \(tdw__\)*read_' faults/keys.c faults/machines.c | cut -d'"' -f2 | sort -u |
        while read -r key; do
            tr -d '\\' < docs/man/tdw-plan.5.scd | grep -qi "\*$key\*\|^##* $key$" ||
                echo "style: tdw-plan(5) lacks '$key'"
        done
}

canary=$(mktemp -d)
printf 'strcpy(a, b);\nx = rand();\nt = time(NULL);\ndouble d;\ngetenv("x");\n\tint tab;\n#if 0\n#include "x.c"\n%0101d\n' 1 > "$canary/canary.c"
check_sources "$canary/canary.c" "$canary/canary.c" >/dev/null
rm -r "$canary"
if [ "$found" -ne 9 ]; then
    echo "style: the canary: $found of 9 rules found what they must find" >&2
    exit 1
fi
found=0

all=$(ls include/tidewheel/*.h runtime/*.[ch] runtime/real/*.[ch] sim/*/*.[ch] sim/*/*/*.[ch] faults/*.[ch] traces/*.[ch] \
    traces/ebpf/*.[ch] cli/*.[ch] examples/*.h examples/*/*.[ch] tests/record/*.c tests/unit/*.[ch] tests/bench/*.[ch] \
    tests/bench/peers/*.[ch] tests/serve/*.[ch] tests/conformance/*.[ch] tests/scenarios/*.[ch] 2>/dev/null)
# faults/fiu.c speaks libfiu's language, which has a float and looks at the environment.
core=$(ls runtime/*.[ch] sim/kernel/*.[ch] sim/kernel/net/*.[ch] faults/*.[ch] 2>/dev/null | grep -v fiu)
check_sources "$all" "$core"
check_directions
check_files
forgiven=$(check_forgiven; check_keys)
if [ -n "$forgiven" ]; then
    echo "$forgiven"
    found=$((found + 1))
fi
if [ "$found" -gt 0 ]; then
    echo "style: $found rules broken" >&2
    exit 1
fi
echo "  style   ok"
