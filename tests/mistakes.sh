#!/bin/sh
# SPDX-License-Identifier: MIT
#
# mistakes.sh OUT CC FLAGS: classic mistakes with stackless coroutines must not compile, and the
# right form of each must. Where only gcc sees a mistake (a local used across a wait), clang is not
# asked.
set -u
out=$1 cc=$2 flags=$3
dir=$out/mistakes
mkdir -p "$dir"
bad=0

head='#include <tidewheel/scenario.h>
struct f { struct tdw_frame frame; int n; };
TDW_CO(f)
{'
tail='}
void use(void); void use(void) { TDW_SPAWN("f", f, struct f); }'

# try NAME yes|no BODY
try() {
    printf '%s\n%s\n%s\n' "$head" "$3" "$tail" >"$dir/$1.c"
    if $cc $flags -O2 -Werror -c -o "$dir/$1.o" "$dir/$1.c" >"$dir/$1.log" 2>&1; then
        compiled=yes
    else
        compiled=no
    fi
    if [ $compiled != "$2" ]; then
        echo "mistakes: $1: expected '$2' to compiling, got '$compiled'" >&2
        head -5 "$dir/$1.log" >&2
        bad=1
    fi
}

try right yes 'TDW_BEGIN(struct f, me); TDW_AWAIT(me->n, nop); TDW_RETURN(me->n); TDW_END;'
try in_a_switch yes 'TDW_BEGIN(struct f, me);
    switch (me->n) { case 1: for (;;) { TDW_AWAIT(me->n, nop); break; } break; default: TDW_YIELD(); }
    TDW_RETURN(0); TDW_END;'
try outside_a_frame no 'int n; TDW_AWAIT(n, nop); return TDW_RUN;'
try wrong_arguments no 'TDW_BEGIN(struct f, me); TDW_AWAIT(me->n, close); TDW_RETURN(0); TDW_END;'
try no_such_verb no 'TDW_BEGIN(struct f, me); TDW_AWAIT(me->n, reed, 0); TDW_RETURN(0); TDW_END;'
case "$($cc --version | head -1) $flags" in
*clang* | *sanitize*) ;;
*)
    try local_across_a_wait no 'TDW_BEGIN(struct f, me); int x = me->n; TDW_AWAIT(me->n, nop);
        TDW_RETURN(x); TDW_END;'
    ;;
esac
[ $bad -eq 0 ] && echo "  mistakes are caught"
exit $bad
