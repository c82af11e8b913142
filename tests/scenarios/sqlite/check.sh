#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh OUT [CUTS]: SQLite judges the disk model. Each way to commit meets each persistence
# profile with at least CUTS (10,000) power cuts; what is lost of what was promised, and what breaks
# the recovery (the database does not open, fails its integrity check, has half a transaction), is
# counted, printed, and has to be as SQLite documents it:
#
#     kept     nothing is lost, nothing broken, under every profile that keeps what is synced
#     undone   transactions that were answered are lost, and the database is whole
#     risky    something is lost or broken
#     counted  a drive without barriers keeps no promise: whatever comes
set -u
export LC_ALL=C
out=$1 cuts=${2:-10000}
judge=$out/scenarios/sqlite-judge
table=$out/sqlite.tsv
failed=0

number() { # of the line that counts the cuts: the one in front of the word
    echo "$said" | sed -n "s/^ .* power cuts.*/ &/p" | grep -oE "[0-9]+ $1" | grep -oE '^[0-9]+'
}

one() { # cell journal synchronous expected profile
    said=$("$judge" -q -p cell="$1" --plan power-cut --set "disks.*.persistence=$5" \
        --crash count:3 -n "$((cuts / 900 + 1))" 2>&1 | grep 'power cuts\|FAILED')
    lost=$(number 'lost') broken=$(number 'broke') made=$(number 'power cuts')
    expected=$4
    [ "$5" = no-barriers ] && expected=counted
    case $expected in
    kept) [ "$lost" -eq 0 ] && [ "$broken" -eq 0 ] ;;
    undone) [ "$lost" -gt 0 ] && [ "$broken" -eq 0 ] ;;
    risky) [ "$((lost + broken))" -gt 0 ] ;;
    counted) true ;;
    esac && [ "${made:-0}" -ge "$cuts" ] || {
        echo "sqlite: $2 $3 on $5 is to be $expected, with $cuts cuts: $said" >&2
        failed=1
    }
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$2" "$3" "$5" "$expected" "${made:-?}" "${lost:-?}" \
        "${broken:-?}" | tee -a "$table"
}

printf 'journal\tsynchronous\tprofile\texpected\tcuts\tlost\tbroken\n' | tee "$table"
for profile in strict ext4-ordered xfs btrfs-like no-barriers; do
    one 0 WAL FULL kept $profile
    one 1 TRUNCATE FULL kept $profile
    one 2 DELETE EXTRA kept $profile
    one 3 DELETE FULL undone $profile
    one 4 PERSIST FULL kept $profile
    one 5 WAL NORMAL undone $profile
    one 6 DELETE OFF risky $profile
done
exit $failed
