/* SPDX-License-Identifier: MIT */
/*
 * A stack of the pool: its bounds, and what the sanitizers need to know of it. The struct stands
 * at the top of the stack's own memory, so the first page that a task touches holds it too.
 */
#ifndef TDW_STACK_H
#define TDW_STACK_H

#include <stdbool.h>
#include <stddef.h>

struct tdw_stack {
    void *base;             /* lowest usable byte, just above the guard */
    size_t bytes;           /* usable, from base up */
    bool canary;            /* guarded by a pattern below base, for want of a better guard */
    struct tdw_stack *next; /* in the pool's free list */
    void *tsan, *tsan_loop; /* ThreadSanitizer's fibers: ours, and whom we came from */
    const void *loop_base;  /* AddressSanitizer: the stack that resumed us */
    size_t loop_bytes;
    unsigned valgrind;
};

#endif
