#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh OUT [SEARCHES]: is each bug of the corpus found, and is each fix one?
#
# A bug is searched for in each model from SEARCHES (20) base seeds; how many runs that takes goes
# to OUT/scenarios.tsv. It has to be found within 10,000 runs and a minute, in the same run in every
# model, and as the failure that the file's opening comment names; the calm run without faults and
# power cuts must not show it. The fixed program has to survive ten times the median, and at least
# 200 runs, in lockstep. `check.sh OUT SEARCHES NAME` does that for one bug, and says what is wrong.
set -u
export LC_ALL=C
out=$1 searches=${2:-20} name=${3:-}
runs_max=10000
here=$(dirname "$0")
failed=0

if [ -z "$name" ]; then
    # All of them, as many at a time as there are cores.
    rm -rf "$out/scenarios/found"
    mkdir -p "$out/scenarios/found"
    names=$(cd "$here" && ls *.c | sed 's/\.c$//')
    echo "$names" | xargs -P "$(nproc)" -n 1 sh "$0" "$out" "$searches" || failed=1
    {
        printf 'scenario\tmodel\tmedian_runs\tp90_runs\truns_per_s\n'
        for name in $names; do cat "$out/scenarios/found/$name.tsv"; done
    } >"$out/scenarios.tsv"
    [ $failed -eq 0 ] || exit 1
    echo "  corpus  $(echo "$names" | wc -l) bugs, each found as what it is in three models" \
        "from $searches seeds; the fixes hold"
    exit 0
fi

wrong() {
    echo "scenarios: $name: $*" >&2
    failed=1
}

# The rest of the line in the opening comment that begins with the word.
noted() {
    sed -n "1,/\*\//s/^ \* $1: *//p" "$here/$name.c"
}

# A field of the JSON that the program said: the first number, or text, of that name.
number() {
    sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$said" | head -1
}
text() {
    sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$said" | tail -1
}

program=$out/scenarios/$name
said=$out/scenarios/found/$name.json
table=$out/scenarios/found/$name.tsv
counts=$out/scenarios/found/$name
mkdir -p "$out/scenarios/found"
rm -f "$table"
pattern=$(noted 'Found as')
[ -n "$pattern" ] || wrong "its opening comment does not say what it is found as"
noted Optimum | grep -qE '^[0-9]+ deviations?, [0-9]+ faults?: ' ||
    wrong "its opening comment tells no optimum"
options="--json -j 1 $(noted Options)"
plan=$(noted Faults)
[ -e "$here/$name.yaml" ] && plan="$plan --plan $here/$name.yaml"

# One search in model $1 from base seed $2: how many runs it took, to the model's file.
search() {
    timeout 60 "$program-bug" $options $plan -m "$1" -s "$2" -n $runs_max \
        --trace-dir "$out/scenarios/found" >"$said"
    code=$?
    seed=$(sed -n 's/.*"failure": {"seed": \([0-9]*\).*/\1/p' "$said")
    if [ $code -ne 1 ] || [ -z "$seed" ]; then
        wrong "$1, from seed $2: not found (exit $code)"
    elif ! text text | grep -qE "$pattern"; then
        wrong "$1, seed $seed: found for another reason: $(text text)"
    else
        echo $((seed - $2 + 1)) >>"$counts.$1"
    fi
}

"$program-bug" $options -n 1 --strategy calm >"$said" || wrong "the calm run shows it: $(text text)"
for model in callback stackless stackful; do
    rm -f "$counts.$model"
    i=0
    while [ $i -lt "$searches" ] && [ $failed -eq 0 ]; do
        search $model $((1 + i * runs_max))
        i=$((i + 1))
    done
    [ $failed -eq 0 ] || break
    cmp -s "$counts.$model" "$counts.callback" || wrong "$model: found in other runs than in callback"
    "$program" $options $plan -m $model -t 100ms >"$said" || wrong "$model: the fix fails: $(text text)"
    sort -n "$counts.$model" | awk -v name="$name" -v model=$model -v rate="$(
        awk "BEGIN { print $(number runs) / $(number seconds) }"
    )" '{ n[NR] = $1 } END { OFS = "\t"
        print name, model, n[int((NR + 1) / 2)], n[int(0.9 * NR + 0.9)], int(rate) }' >>"$table"
done
if [ $failed -eq 0 ]; then
    median=$(awk '{ print $3; exit }' "$table")
    [ $((10 * median)) -gt 200 ] && survive=$((10 * median)) || survive=200
    "$program" $options $plan -n $survive >"$said" || wrong "the fix fails: $(text text)"
fi
exit $failed
