# SPDX-License-Identifier: MIT
#
# reasons.awk: the lines of reasons.tsv, and which of them accounts for an opcode's result. It is put
# in front of the programs of table.sh and of docs/man/opcodes.sh.

# The present line.
function add_reason() {
    who[++reasons_count] = $1; what[reasons_count] = $2
    kind[reasons_count] = $3; why[reasons_count] = $4
}

# Does the list of a reason name it?
function names(list, opcode,    parts, i, n, all, without) {
    n = split(list, parts, ",")
    for (i = 1; i <= n; i++) {
        if (parts[i] == opcode) return 1
        if (parts[i] == "*") all = 1
        if (parts[i] == "-" opcode) without = 1
    }
    return all && !without
}

# The line that accounts for the result; 0: none.
function reason_of(opcode, result,    i) {
    for (i = 1; i <= reasons_count; i++)
        if (names(who[i], opcode) && index("," what[i] ",", "," result ",")) return i
    return 0
}
