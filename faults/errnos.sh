#!/bin/sh
# SPDX-License-Identifier: MIT
#
# errnos.sh: the errnos that the manual pages document for each opcode, as opcode, errno, pages.
#
#     sh faults/errnos.sh > faults/errnos.tsv
#
# pages.tsv says which pages count. Of a page it takes each errno that is set in bold in its section
# ERRORS; and for every opcode those of io_uring_enter(2)'s section CQE ERRORS. Names are those of
# the kernel's headers, so words that only look like one (EPOLLEXCLUSIVE) do not count, and what is
# an alias (EWOULDBLOCK, ENOTSUP) or misspelt there (EAFNOTSUPPORT) counts as what it stands for.
#
# Exit 5 if a page is not installed: the pages are in Debian's manpages, manpages-dev and
# liburing-dev, and containers often leave them out.
set -eu
export LC_ALL=C
here=$(dirname "$0")
man=${MANUAL_PAGES:-/usr/share/man}

# page NAME.SECTION: its source, also if it only refers to another page.
page() {
    file=$man/man${1##*.}/$1.gz
    [ -e "$file" ] || { echo "errnos.sh: no page $file" >&2; exit 5; }
    text=$(gzip -dcf "$file")
    case $text in
    .so*) page "$(printf '%s\n' "$text" | sed -n '1s|.*/||p')" ;;
    *) printf '%s\n' "$text" ;;
    esac
}

# errnos PAGE SECTION: the names in bold in that section of standard input.
errnos() {
    awk -v page="$1" -v section="$2" '
        FILENAME != "-" { if ($1 == "#define" && $2 ~ /^E/) known[$2] = 1; next }
        /^\.SH / { on = ($0 == ".SH " section) }
        on && /^\.(B|BR|RB) / {
            for (i = 2; i <= NF; i++) {
                name = $i
                gsub(/[^A-Z0-9]/, "", name)
                if (name == "EWOULDBLOCK") name = "EAGAIN"
                if (name == "ENOTSUP") name = "EOPNOTSUPP"
                if (name == "EAFNOTSUPPORT") name = "EAFNOSUPPORT"
                if (name in known && $i !~ /_/) print name "\t" page
            }
        }' /usr/include/asm-generic/errno-base.h /usr/include/asm-generic/errno.h -
}

every=$(page io_uring_enter.2 | errnos io_uring_enter.2 'CQE ERRORS')
[ -n "$every" ] || { echo "errnos.sh: io_uring_enter(2) has no CQE ERRORS" >&2; exit 1; }

echo "# opcode, errno, the pages that document it. Made by: sh faults/errnos.sh"
grep -v '^#' "$here/pages.tsv" | while read -r opcode pages; do
    {
        printf '%s\n' "$every"
        for name in $pages; do
            page "$name" > "${TMPDIR:-/tmp}/errnos.$$"
            errnos "$name" ERRORS < "${TMPDIR:-/tmp}/errnos.$$"
            rm -f "${TMPDIR:-/tmp}/errnos.$$"
        done
    } | awk -F'\t' -v opcode="$opcode" '
        !seen[$0]++ { pages[$1] = pages[$1] (pages[$1] ? " " : "") $2 }
        END { for (name in pages) print opcode "\t" name "\t" pages[name] }' | sort
done
