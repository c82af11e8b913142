#!/bin/sh
# SPDX-License-Identifier: MIT
#
# portable.sh: the same seeds give the same digests whatever built the program and runs it: gcc -O0,
# gcc -O3, clang -O2, our switch or ucontext, address space randomised or not, and aarch64 under
# qemu-user (without zstd and liburing's library there: neither is needed, or in its root).
set -eu
cd "$(dirname "$0")/.."
runs=${RUNS:-200}
out=build/portable
mkdir -p "$out"

digests() { # NAME COMMAND…
    name=$1
    shift
    for schedule in timed adversary; do
        "$@" -n "$runs" -s 1 --jobs 2 --schedule $schedule --json |
            grep -o '"name": "[a-z]*"\|"all": "[0-9a-f]*"' >"$out/$name.$schedule"
    done
    cat "$out/$name.timed" "$out/$name.adversary" >"$out/$name.digests"
    if ! cmp -s "$out/$name.digests" "$out/reference.digests"; then
        echo "portable: $name: other digests than the reference" >&2
        diff "$out/$name.digests" "$out/reference.digests" | head -5 >&2
        exit 1
    fi
    echo "  $name: the same"
}

build() { # DIR VARIABLES…
    dir=$out/$1
    shift
    ${MAKE:-make} --no-print-directory BUILD="$dir" DEPS=no "$@" "$dir/examples/store" >"$out/log" 2>&1 ||
        { tail -5 "$out/log" >&2; exit 1; }
}

build gcc-O2 CC=gcc CFLAGS=-O2
for schedule in timed adversary; do
    "$out/gcc-O2/examples/store" -n "$runs" -s 1 --schedule $schedule --json |
        grep -o '"name": "[a-z]*"\|"all": "[0-9a-f]*"'
done >"$out/reference.digests"
grep -q all "$out/reference.digests"

build gcc-O0 CC=gcc CFLAGS=-O0
digests gcc-O0 "$out/gcc-O0/examples/store"
build gcc-O3 CC=gcc CFLAGS=-O3
digests gcc-O3 "$out/gcc-O3/examples/store"
digests gcc-O3-without-aslr setarch -R "$out/gcc-O3/examples/store"
build clang-O2 CC=clang CFLAGS=-O2
digests clang-O2 "$out/clang-O2/examples/store"
build ucontext CC=gcc CFLAGS=-O2 SWITCH=ucontext
digests ucontext "$out/ucontext/examples/store"

include=$out/include
mkdir -p "$include"
cp -r /usr/include/liburing.h /usr/include/liburing /usr/include/xxhash.h "$include/"
build aarch64 CC=aarch64-linux-gnu-gcc CFLAGS=-O2 CPPFLAGS="-I$include" ZSTD=no URING=no
digests aarch64 qemu-aarch64 -L /usr/aarch64-linux-gnu "$out/aarch64/examples/store"
echo "portable: $runs seeds, three scenarios, three models, two schedules: the same everywhere"
