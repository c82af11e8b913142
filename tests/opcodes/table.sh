#!/bin/sh
# SPDX-License-Identifier: MIT
#
# table.sh OUT: build/opcodes.tsv, the account of every opcode and every documented errno.
#
# It joins what the kernel performs (OUT/tdw opcodes), what its manual pages document (faults/errnos.tsv),
# what the unit tests have seen (OUT/opcodes-seen.tsv) and why the rest was not (reasons.tsv):
#
#     opcode  implemented  result  account  cases or reason  pages
#
# where account is provoked, pending (a fault point will) or unreachable. It fails if an implemented
# opcode has no success, if a documented errno is neither provoked nor accounted for, and if a reason
# is not true any more: a test provokes it, or nothing documents it. Where the manual pages are
# installed, errnos.tsv must be what they say.
set -eu
export LC_ALL=C
here=$(dirname "$0")
faults=$here/../../faults
out=${1:-build}

if said=$(sh "$faults/errnos.sh" 2>/dev/null); then
    printf '%s\n' "$said" | diff - "$faults/errnos.tsv" >&2 || {
        echo "opcodes: errnos.tsv is not what the manual pages say; see errnos.sh" >&2
        exit 1
    }
fi

"$out/tdw" opcodes > "$out/opcodes-known.tsv"
awk -F'\t' -v known="$out/opcodes-known.tsv" -v reasons="$here/reasons.tsv" \
    -v seen="$out/opcodes-seen.tsv" "$(cat "$here/reasons.awk")"'
    function gap(text) { print "opcodes: " text > "/dev/stderr"; gaps++ }

    function account(opcode, result, pages,    i, count) {
        count = cases[opcode, result] + 0
        i = reason_of(opcode, result)
        if (i) used[i] = 1
        if (count && i) gap(opcode " " result ": a test provokes it, but reasons.tsv has: " why[i])
        if (!count && !i) gap(opcode " " result ": neither provoked nor accounted for")
        print opcode, implemented[opcode], result, count ? "provoked" : i ? kind[i] : "gap", \
              count ? count : i ? why[i] : "", pages
    }

    FILENAME == known { implemented[$1] = $3; order[++opcodes] = $1; next }
    FILENAME == seen { cases[$1, $2] = $3; next }
    /^#/ { next }
    FILENAME == reasons {
        if (NF != 4 || ($3 != "pending" && $3 != "unreachable")) gap("reasons.tsv: wrong line: " $0)
        add_reason()
        next
    }
    { documented[$1] = documented[$1] " " $2; pages[$1, $2] = $3 }

    END {
        OFS = "\t"
        print "opcode", "implemented", "result", "account", "cases or reason", "pages"
        for (o = 1; o <= opcodes; o++) {
            opcode = order[o]
            if (implemented[opcode] != "yes") {
                print opcode, "no", "EINVAL", cases[opcode, "EINVAL"] ? "provoked" : "gap", \
                      cases[opcode, "EINVAL"] + 0, ""
                if (!cases[opcode, "EINVAL"]) gap(opcode " EINVAL: not implemented, and not tested")
                continue
            }
            account(opcode, "ok", "")
            n = split(documented[opcode], list, " ")
            if (n == 0) gap(opcode ": pages.tsv does not have it")
            for (e = 1; e <= n; e++) account(opcode, list[e], pages[opcode, list[e]])
        }
        for (i = 1; i <= reasons_count; i++)
            if (!used[i]) gap("reasons.tsv: nothing documents it: " who[i] " " what[i])
        if (gaps) { print "opcodes: " gaps " gaps" > "/dev/stderr"; exit 1 }
    }' "$out/opcodes-known.tsv" "$out/opcodes-seen.tsv" "$here/reasons.tsv" "$faults/errnos.tsv" \
    > "$out/opcodes.tsv"
awk -F'\t' 'NR > 1 { n[$4]++ } END { printf "  opcodes %d results provoked, %d pending, %d unreachable\n",
    n["provoked"], n["pending"], n["unreachable"] }' "$out/opcodes.tsv"
