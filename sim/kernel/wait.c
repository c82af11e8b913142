/* SPDX-License-Identifier: MIT */
/*
 * The time-out of an op that waits for several things (wait.h). A time-out of 0 is over at once,
 * and the op looks once.
 */
#include <sim/kernel/wait.h>
#include <time.h>

static void expired(struct tdw_timer *timer)
{
    struct tdw_wait *wait = tdw_of(timer, struct tdw_wait, timer);

    wait->over = true;
    tdw__wake(&wait->queue);
}

void tdw__wait_begin(struct tdw_wait *wait, struct tdw_op *op, uint64_t ns)
{
    struct tdw_host *host = tdw_of(op->task->ring, struct tdw_process, ring)->host;
    const uint64_t now = tdw__clock_ns(host, CLOCK_MONOTONIC);

    wait->over = ns == 0;
    wait->timer.expired = expired;
    wait->timer.work.ordinal = op->ordinal;
    if (ns > 0 && ns != UINT64_MAX)
        tdw__timer_start(&wait->timer, host, op->task, CLOCK_MONOTONIC,
                         ns > UINT64_MAX - now ? UINT64_MAX : now + ns);
}

void tdw__wait_end(struct tdw_wait *wait)
{
    tdw__timer_stop(&wait->timer);
}
