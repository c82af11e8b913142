/* SPDX-License-Identifier: MIT */
/*
 * TIMEOUT, LINK_TIMEOUT, TIMEOUT_REMOVE: the timers of a ring.
 *
 * A time-out is due when a clock of its host says so: after a time, or (IORING_TIMEOUT_ABS) at one;
 * an absolute one of CLOCK_REALTIME moves when that clock is stepped. It ends -ETIME. It also ends,
 * with 0, when so many other completions of the ring have come as its `off` asks for; time-outs do
 * not count. A multishot one (IORING_TIMEOUT_MULTISHOT) completes with each period, `off` times or
 * for ever. TIMEOUT_REMOVE ends one or gives it a new time.
 *
 * While a time-out runs, `place` of its op is the count of completions that ends it, and of a
 * multishot one its period: an entry's time is read when it starts, and never again.
 */
#include <runtime/timeout.h>
#include <sim/kernel/world.h>
#include <time.h>

static struct tdw_host *host_of(const struct tdw_op *op)
{
    return tdw_of(op->task->ring, struct tdw_process, ring)->host;
}

/* How long it is until then, in the world's time. */
static uint64_t wait_ns(const struct tdw_op *op, uint32_t flags, uint64_t ns)
{
    const struct tdw_host *host = host_of(op);
    const int clock = flags & IORING_TIMEOUT_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    const uint64_t due =
        flags & IORING_TIMEOUT_ABS ? tdw__clock_at(host, clock, ns) : tdw__clock_after(host, ns);

    return due - host->world->loop.now_ns;
}

void tdw__timeout_start(struct tdw_op *op)
{
    struct tdw_ring *ring = op->task->ring;
    uint64_t ns;
    int err = op->task->bits & TDW_TASK_STOPPING ? -ECANCELED : tdw__timeout_check(op, &ns);

    if (err) {
        tdw__post(op, err, 0, 0);
        return;
    }
    tdw__pend(op, wait_ns(op, op->sqe.timeout_flags, ns));
    op->place = UINT64_MAX;
    if (op->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT)
        op->place = ns;
    if (tdw__counts_completions(op)) {
        op->place = ring->completed + op->sqe.off;
        ring->counting = true;
    }
}

/* A multishot one has run out; true: it goes on. */
static bool again(struct tdw_op *op)
{
    const uint64_t period_ns = op->place;

    if (!(op->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT) || op->sqe.off == 1)
        return false;
    if (!tdw__post_more(op, -ETIME, 0, 0))
        return false;
    if (op->sqe.off > 1)
        op->sqe.off--;
    tdw__pend(op, wait_ns(op, op->sqe.timeout_flags, period_ns));
    op->place = period_ns;
    return true;
}

void tdw__timeout_fires(struct tdw_op *op)
{
    if (op->sqe.opcode == IORING_OP_LINK_TIMEOUT)
        tdw__link_timeout_fires(op);
    else if (!again(op))
        tdw__post(op, tdw__is_sleep(op) ? 0 : -ETIME, 0, 0);
}

void tdw__timeouts_count(struct tdw_ring *ring)
{
    ring->counting = false;
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (!op || !tdw__counts_completions(op) || op->state != TDW_PENDING)
            continue;
        if (op->place > ring->completed) {
            ring->counting = true;
            continue;
        }
        ring->loop->backend->forget(ring, op);
        tdw__post(op, 0, 0, 0); /* which counts for nobody */
    }
}

static bool is_moved_by_steps(const struct tdw_op *op)
{
    const uint32_t flags = IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME;

    return (op->sqe.timeout_flags & flags) == flags;
}

void tdw__timeouts_changed(struct tdw_host *host, const struct tdw_host_clock *before,
                           int64_t step_ns)
{
    const uint64_t now = host->world->loop.now_ns;

    for (struct tdw_process *p = host->world->processes; p; p = p->next) {
        for (uint32_t i = 0; p->host == host && i < p->ring.slots_used; i++) {
            struct tdw_op *op = p->ring.slots[i].op;
            uint64_t place;
            __int128 left;

            if (!op || op->state != TDW_PENDING || !tdw__is_timeout(op) || op->due_ns <= now ||
                (step_ns && !is_moved_by_steps(op)))
                continue;
            place = op->place;
            left = tdw__clock_passes(before, op->due_ns - now);
            left = left > step_ns ? left - step_ns : 0;
            tdw__schedule_remove(host->world, op);
            tdw__pend(op,
                      tdw__clock_after(host, left < INT64_MAX ? (uint64_t)left : INT64_MAX) - now);
            op->place = place;
        }
    }
}

/* ── TIMEOUT_REMOVE ────────────────────────────────────────────────────────────────────────── */

static int start_remove(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    return tdw__timeout_remove_check(op);
}

static int32_t update(struct tdw_op *op, struct tdw_op *target)
{
    const bool linked = op->sqe.timeout_flags & IORING_LINK_TIMEOUT_UPDATE;
    struct tdw_ring *ring = target->task->ring;
    uint64_t ns = 0;

    if (target->sqe.opcode != (linked ? IORING_OP_LINK_TIMEOUT : IORING_OP_TIMEOUT))
        return -ENOENT;
    tdw__timeout_ns(op->sqe.off, &ns);
    if (!(target->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT))
        target->sqe.off = 0; /* the count is forgotten, as on Linux */
    tdw__schedule_remove(tdw__world(ring->loop), target);
    tdw__pend(target, wait_ns(target, op->sqe.timeout_flags, ns));
    if (target->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT)
        target->place = ns;
    return 0;
}

static int32_t effect_remove(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_op *target = tdw__target(op, op->sqe.addr);

    (void)process, (void)object;
    if (!target || target->state != TDW_PENDING) /* it has ended, or waits for its turn yet */
        return -ENOENT;
    if (tdw__is_update(&op->sqe))
        return update(op, target);
    return target->sqe.opcode == IORING_OP_TIMEOUT ? tdw__cancel(target, -ECANCELED, NULL)
                                                   : -ENOENT;
}

const struct tdw_sim_opcode tdw__row_timeout_remove = {.start = start_remove,
                                                       .effect = effect_remove};
