/* SPDX-License-Identifier: MIT */
/*
 * What promises.c (the ledger) and crashes.c (crash everywhere) share.
 */
#ifndef TDW_PROMISES_H
#define TDW_PROMISES_H

#include <sim/explore/explore.h>

struct tdw_promise {
    uint64_t key, value;
    uint64_t begun, acked; /* in the order of the run; acked UINT64_MAX: not yet */
    uint64_t begun_ns, acked_ns;
};

struct tdw_promises {
    struct tdw_promise *items;
    size_t count, max;
    uint64_t order;
    struct tdw_crashes *crashes;   /* NULL: nothing is crashed by itself */
    bool recovers;                 /* of a recovery's world: what is found is only noted */
    struct tdw_expected *expected; /* expect.c: what is to happen, or never */
};

/* The loop's, made if there are none; NULL when memory is exhausted. */
struct tdw_promises *tdw__promises(struct tdw_loop *loop);
bool tdw__promise_note(struct tdw_promises *promises, uint64_t key, uint64_t value);
/* May `value` be there? If not, why not, in `text`; `when` stands in front of what it is. */
bool tdw__promise_kept(const struct tdw_promises *promises, uint64_t key, uint64_t value,
                       const char *when, char *text, size_t bytes);

/* expect.c */
void tdw__expected_free(struct tdw_promises *promises);

/* crashes.c */
void tdw__crashes_look(struct tdw_crashes *crashes); /* a promise was made or kept */
void tdw__crashes_free(struct tdw_crashes *crashes);
struct tdw_cuts tdw__crashes_count(const struct tdw_loop *loop);

#endif
