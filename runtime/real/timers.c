/* SPDX-License-Identifier: MIT */
/*
 * The timers of a real loop: TIMEOUT, LINK_TIMEOUT and TIMEOUT_REMOVE without the kernel.
 *
 * A time-out is an entry of a 4-ary heap by (due, seq); the loop waits no longer than until the
 * first one. `place` of a pending timer's op is its index there, so it is taken out without a
 * search. The kernel's own time-outs would cost an entry, a high-resolution timer and a completion
 * each, which a deadline around every receive would double the work of; and the epoll backend has
 * none. What they promise is io_uring's: relative or absolute times, the clocks, a count of
 * completions that ends one, several completions, a new time.
 *
 * In the slot of a timer `sum` is the count of completions at which it ends, or its period.
 * Cost: O(log n), and usually O(1): a deadline is later than those before it, and taken out early.
 */
#include <runtime/real/real.h>
#include <runtime/timeout.h>
#include <stdlib.h>
#include <time.h>

#define ARITY 4

/* ── The heap ──────────────────────────────────────────────────────────────────────────────── */

static void put(struct tdw_heap *heap, uint32_t at, struct tdw_item item)
{
    heap->items[at] = item;
    item.op->place = at;
}

static void sift_up(struct tdw_heap *heap, uint32_t at, struct tdw_item item)
{
    while (at > 0 && tdw__item_before(&item, &heap->items[(at - 1) / ARITY])) {
        put(heap, at, heap->items[(at - 1) / ARITY]);
        at = (at - 1) / ARITY;
    }
    put(heap, at, item);
}

static void sift_down(struct tdw_heap *heap, uint32_t at, struct tdw_item item)
{
    for (uint32_t first; (first = at * ARITY + 1) < heap->count;) {
        uint32_t least = first;

        for (uint32_t i = first + 1; i < first + ARITY && i < heap->count; i++)
            if (tdw__item_before(&heap->items[i], &heap->items[least]))
                least = i;
        if (!tdw__item_before(&heap->items[least], &item))
            break;
        put(heap, at, heap->items[least]);
        at = least;
    }
    put(heap, at, item);
}

static void add(struct tdw_real *real, struct tdw_op *op, uint64_t due_ns)
{
    struct tdw_heap *heap = &real->timers;

    if (heap->count == heap->max) {
        const uint32_t max = heap->max ? heap->max * 2 : 64;
        struct tdw_item *items = realloc(heap->items, max * sizeof *items);

        if (!items)
            abort(); /* an accepted op cannot be refused any more */
        heap->items = items;
        heap->max = max;
    }
    op->state = TDW_PENDING;
    op->due_ns = due_ns;
    heap->count++;
    sift_up(heap, heap->count - 1, (struct tdw_item){due_ns, op->seq, op});
}

static void take(struct tdw_real *real, struct tdw_op *op)
{
    struct tdw_heap *heap = &real->timers;
    const uint32_t at = (uint32_t)op->place;
    const struct tdw_item last = heap->items[--heap->count];

    assert(heap->items[at].op == op || last.op == op);
    if (at == heap->count)
        return;
    if (at > 0 && tdw__item_before(&last, &heap->items[(at - 1) / ARITY]))
        sift_up(heap, at, last);
    else
        sift_down(heap, at, last);
}

/* ── Times ─────────────────────────────────────────────────────────────────────────────────── */

/* When it is due on the loop's clock. An absolute time of another clock is taken as the distance
 * from that clock's present: a step of it while the timer runs is not followed. */
static uint64_t due_ns(struct tdw_real *real, uint32_t flags, uint64_t ns)
{
    const uint64_t now = tdw__real_now(real);
    uint64_t left = ns;

    if (flags & IORING_TIMEOUT_ABS) {
        const int clock = flags & IORING_TIMEOUT_REALTIME   ? CLOCK_REALTIME
                          : flags & IORING_TIMEOUT_BOOTTIME ? CLOCK_BOOTTIME
                                                            : CLOCK_MONOTONIC;
        const uint64_t shows = tdw__os_clock_ns(clock);

        left = ns > shows ? ns - shows : 0;
    }
    return left > TDW_NEVER - 1 - now ? TDW_NEVER - 1 : now + left;
}

/* ── What the backends call ────────────────────────────────────────────────────────────────── */

void tdw__real_timer_begin(struct tdw_real *real, struct tdw_op *op)
{
    struct tdw_ring *ring = op->task->ring;
    uint64_t ns = 0;
    int err = op->task->bits & TDW_TASK_STOPPING ? -ECANCELED : tdw__timeout_check(op, &ns);

    if (err) {
        tdw__post(op, err, 0, 0);
        return;
    }
    if (op->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT)
        tdw__slot(ring, op)->sum = ns;
    if (tdw__counts_completions(op)) {
        tdw__slot(ring, op)->sum = ring->completed + op->sqe.off;
        ring->counting = true;
    }
    add(real, op, due_ns(real, op->sqe.timeout_flags, ns));
}

void tdw__real_delay(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_real *real = tdw__real(ring->loop);

    if (op->task->bits & TDW_TASK_STOPPING)
        tdw__post(op, -ECANCELED, 0, 0);
    else
        add(real, op, due_ns(real, 0, op->due_ns));
}

bool tdw__real_is_delayed(const struct tdw_real *real, const struct tdw_op *op)
{
    return op->state == TDW_PENDING && op->place < real->timers.count &&
           real->timers.items[op->place].op == op;
}

void tdw__real_timer_stop(struct tdw_real *real, struct tdw_op *op)
{
    take(real, op);
}

/* A multishot one has run out; true: it goes on, later than now, so that it tells once at a time
 * however short its period is. */
static bool again(struct tdw_real *real, struct tdw_op *op)
{
    const uint64_t soonest = real->loop.now_ns + 1;
    uint64_t due = op->due_ns + tdw__slot(op->task->ring, op)->sum;

    if (!(op->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT) || op->sqe.off == 1)
        return false;
    if (!tdw__post_more(op, -ETIME, 0, 0))
        return false;
    if (op->sqe.off > 1)
        op->sqe.off--;
    due = due < op->due_ns ? TDW_NEVER - 1 : due;
    add(real, op, due > soonest ? due : soonest);
    return true;
}

void tdw__real_timers_fire(struct tdw_real *real)
{
    while (real->timers.count > 0 && real->timers.items[0].due_ns <= real->loop.now_ns) {
        struct tdw_op *op = real->timers.items[0].op;

        take(real, op);
        if (TDW_UNLIKELY(!tdw__is_timer(op)))
            real->loop.backend->start(op->task->ring, op);
        else if (op->sqe.opcode == IORING_OP_LINK_TIMEOUT)
            tdw__link_timeout_fires(op);
        else if (!again(real, op))
            tdw__post(op, tdw__is_sleep(op) ? 0 : -ETIME, 0, 0);
    }
}

void tdw__real_timers_counted(struct tdw_ring *ring)
{
    struct tdw_real *real = tdw__real(ring->loop);

    ring->counting = false;
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (!op || !tdw__counts_completions(op) || op->state != TDW_PENDING)
            continue;
        if (ring->slots[i].sum > ring->completed) {
            ring->counting = true;
            continue;
        }
        take(real, op);
        tdw__post(op, 0, 0, 0); /* which counts for nobody */
    }
}

static int32_t update(struct tdw_real *real, const struct tdw_op *op, struct tdw_op *target)
{
    const bool linked = op->sqe.timeout_flags & IORING_LINK_TIMEOUT_UPDATE;
    uint64_t ns = 0;

    if (target->sqe.opcode != (linked ? IORING_OP_LINK_TIMEOUT : IORING_OP_TIMEOUT))
        return -ENOENT;
    tdw__timeout_ns(op->sqe.off, &ns);
    if (!(target->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT))
        target->sqe.off = 0; /* the count is forgotten, as on Linux */
    else
        tdw__slot(target->task->ring, target)->sum = ns;
    take(real, target);
    add(real, target, due_ns(real, op->sqe.timeout_flags, ns));
    return 0;
}

int32_t tdw__real_timer_remove(struct tdw_real *real, struct tdw_op *op)
{
    struct tdw_op *target = tdw__find(op->task->ring, op->sqe.addr);
    const int err = tdw__timeout_remove_check(op);

    if (err)
        return err;
    if (!target || target->state != TDW_PENDING || !tdw__is_timer(target))
        return -ENOENT;
    if (tdw__is_update(&op->sqe))
        return update(real, op, target);
    return target->sqe.opcode == IORING_OP_TIMEOUT ? tdw__cancel(target, -ECANCELED, NULL)
                                                   : -ENOENT;
}
