/* SPDX-License-Identifier: MIT */
/*
 * Timers of a host: work that is due when one of its clocks shows a time.
 *
 * A timer stands in a list of its host while it runs, so that a new drift or a step of the clock
 * can move it. It is an item like others (TDW_OP_TIMER): never early, and in order with others.
 *
 * Called by timerfd.c, by waits with a time-out (wait.c), and by clock.c when a clock changes.
 */
#include <sim/kernel/world.h>

static void take_out(struct tdw_timer *timer)
{
    if (timer->next)
        timer->next->prev = timer->prev;
    if (timer->prev)
        timer->prev->next = timer->next;
    else
        timer->host->timers = timer->next;
}

static void run(struct tdw_op *work)
{
    struct tdw_timer *timer = tdw_of(work, struct tdw_timer, work);

    take_out(timer);
    timer->expired(timer);
}

void tdw__timer_start(struct tdw_timer *timer, struct tdw_host *host, struct tdw_task *actor,
                      int clock, uint64_t at_ns)
{
    tdw__timer_stop(timer);
    timer->host = host;
    timer->clock = clock;
    timer->at_ns = at_ns;
    timer->prev = NULL;
    timer->next = host->timers;
    if (timer->next)
        timer->next->prev = timer;
    host->timers = timer;
    tdw__work_at(&timer->work, actor, host, TDW_OP_TIMER, tdw__clock_at(host, clock, at_ns), run);
}

void tdw__timer_stop(struct tdw_timer *timer)
{
    if (!tdw__timer_runs(timer))
        return;
    tdw__work_cancel(&timer->work);
    take_out(timer);
}

void tdw__timers_changed(struct tdw_host *host, bool stepped)
{
    struct tdw_timer *next;

    for (struct tdw_timer *timer = host->timers; timer; timer = next) {
        next = timer->next;
        if (stepped && !timer->absolute)
            continue;
        tdw__work_cancel(&timer->work);
        tdw__work_at(&timer->work, timer->work.task, host, TDW_OP_TIMER,
                     tdw__clock_at(host, timer->clock, timer->at_ns), run);
        if (stepped && timer->stepped)
            timer->stepped(timer);
    }
}
