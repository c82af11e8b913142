#!/bin/sh
# SPDX-License-Identifier: MIT
#
# page.sh TDW SOURCE: a manual page from its scdoc source, with the list of opcodes in the place of
# the line "@opcodes@", and that of the kernel's fault points in that of "@points@".
#
# Which opcodes are performed, and since when Linux has them, is what TDW (the command) says. Their
# errors are those that the manual pages document (faults/errnos.tsv), but for those of every
# entry, which the page has itself, and those that are unreachable or wait for a fault (reasons.tsv);
# `make check` holds that against what tests have provoked. Permissions are not enforced: beside a
# restricted ring, only an address for broadcasts is EACCES.
#
# The page's date is its source's.
set -eu
export LC_ALL=C
account=$(dirname "$0")/../../tests/opcodes
errnos=$(dirname "$0")/../../faults/errnos.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$1" opcodes > "$work/known"
awk -F'\t' -v reasons="$account/reasons.tsv" -v errnos="$errnos" \
    "$(cat "$account/reasons.awk")"'
    /^#/ { next }
    FILENAME == reasons { add_reason(); next }
    FILENAME == errnos {
        if ($2 == "EACCES" && $1 !~ /^(SEND|CONNECT)/) next
        if ($3 != "io_uring_enter.2" && !reason_of($1, $2)) answers[$1] = answers[$1] " " $2
        next
    }
    $3 == "yes" { print "*" $1 "* (Linux " $4 ")"
                  print "\t" (answers[$1] ? substr(answers[$1], 2) : "none of its own") "\n" }
    $3 != "yes" { missing = missing (missing ? ", " : "") "*" $1 "*" }
    END { if (missing) print "Known by name, and not performed: " missing "." }
' "$account/reasons.tsv" "$errnos" "$work/known" > "$work/opcodes"

"$1" points | awk -F'\t' '
    $2 == "kernel" { gsub(/`/, "*", $4); gsub(/_/, "\\_", $4); print "*" $1 "*\n\t" $4 "\n" }
' > "$work/points"

sed -e '/^@opcodes@$/{' -e "r $work/opcodes" -e 'd' -e '}' \
    -e '/^@points@$/{' -e "r $work/points" -e 'd' -e '}' "$2" |
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$2")} scdoc > "$work/page"
# The macros of .TH turn hyphenation on again; and scdoc begins paragraphs that stay empty.
awk '/^\.P$/ { begins = 1; next }
     /^\.RE$/ { print; next }
     { if (begins && !heading && !/^\.(SH|RS)/) print ".P"
       begins = 0; heading = /^\.SH/; print }
     /^\.TH / { print ".nh"; print ".ad l" }' "$work/page"
