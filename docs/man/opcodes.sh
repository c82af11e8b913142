#!/bin/sh
# SPDX-License-Identifier: MIT
#
# opcodes.sh TDW: the list of opcodes in tdw-sim(7), as scdoc reads it.
#
# Which are performed, and since when Linux has them, is what TDW (the command) says; their errors are
# those that the manual pages document (tests/opcodes/errnos.tsv) but for those of every entry, which
# the page has itself, and those that are unreachable or wait for a fault (tests/opcodes/reasons.tsv).
# The table of `make check` holds these against what tests have provoked.
set -eu
export LC_ALL=C
account=$(dirname "$0")/../../tests/opcodes

"$1" opcodes | awk -F'\t' -v reasons="$account/reasons.tsv" -v errnos="$account/errnos.tsv" \
    "$(cat "$account/reasons.awk")"'
    /^#/ { next }
    FILENAME == reasons { add_reason(); next }
    FILENAME == errnos {
        if ($3 != "io_uring_enter.2" && !reason_of($1, $2)) answers[$1] = answers[$1] " " $2
        next
    }
    $3 == "yes" { print "*" $1 "* (Linux " $4 ")\n\t" (answers[$1] ? substr(answers[$1], 2) : "none of its own") "\n" }
    $3 != "yes" { missing = missing (missing ? ", " : "") "*" $1 "*" }
    END { if (missing) print "Known, and not performed: " missing "." }
' "$account/reasons.tsv" "$account/errnos.tsv" -
