/* SPDX-License-Identifier: MIT */
/*
 * An op that waits for one of several things, and not for ever: epoll_wait, ppoll.
 *
 * The op blocks in a queue of its own. Whatever it waits for tells a watch, which wakes that queue;
 * so does the timer. The row looks again then, as after any wake.
 */
#ifndef TDW_WAIT_H
#define TDW_WAIT_H

#include <sim/kernel/kernel.h>

struct tdw_wait {
    struct tdw_timer timer;
    struct tdw_waitq queue; /* of the one op */
    bool over;              /* the time is */
};

/* Begin: `ns` of the process's host from now; UINT64_MAX: no end. */
void tdw__wait_begin(struct tdw_wait *wait, struct tdw_op *op, uint64_t ns);
void tdw__wait_end(struct tdw_wait *wait);

#endif
