/* SPDX-License-Identifier: MIT */
/*
 * The schedule: which item comes next, and what that does to the clock. Virtual time moves in
 * this file alone (I5).
 *
 * Items are R, posted completions, and P, ops that may take effect or complete.
 *
 *   timed      P waits in the wheel. When nothing is ready the clock goes to the wheel's earliest
 *              due time, and all that is due then becomes ready; ties are choices.
 *   adversary  P waits in two heaps by (due, seq). All of R, all of P but timers, and the earliest
 *              timer are candidates; what is picked moves the clock to when it was due, if that
 *              lies ahead. So timers keep their order and are never early; they may be late.
 *
 * The calm answer is the same item in both: of the actor that ran last if it has one due now, else
 * the smallest by (due, seq). So a calm run is the same run under both meanings.
 *
 * In a fair schedule (tdw_schedule_fair) it is always the smallest by (due, seq), and no choice.
 *
 * Cost, timed: with one candidate, the usual case under wide latencies, a pop of the wheel and
 * nothing else. Adversary: a removal from a heap, O(log n).
 */
#include <sim/kernel/world.h>

static bool is_timer(const struct tdw_op *op)
{
    return tdw__is_timeout(op) || op->sqe.opcode == TDW_OP_TIMER;
}

static void advance(struct tdw_world *world, uint64_t to_ns)
{
    if (to_ns > world->loop.now_ns)
        world->loop.now_ns = to_ns;
}

void tdw__schedule_add(struct tdw_world *world, struct tdw_op *op)
{
    if (world->options.schedule == TDW_TIMED)
        tdw__wheel_add(&world->wheel, op->due_ns, op);
    else
        tdw__heap_add(is_timer(op) ? &world->timers : &world->pending, op);
}

static bool is_ready(const struct tdw_world *world, const struct tdw_op *op)
{
    for (uint32_t i = 0; i < world->loop.ready.count; i++)
        if (world->loop.ready.items[i].op == op)
            return true;
    return false;
}

/* ── Paused hosts ──────────────────────────────────────────────────────────────────────────────
 * An item of a paused host is put aside when its turn comes, and takes part again when the host is
 * resumed. With no host paused this costs one comparison.
 */
static struct tdw_host *host_of(const struct tdw_op *op)
{
    return op->sqe.opcode >= TDW_OP_PACKET ? (struct tdw_host *)(uintptr_t)op->sqe.addr
                                           : tdw_of(op->task->ring, struct tdw_process, ring)->host;
}

static bool thaw_one(const struct tdw_op *op)
{
    struct tdw_heap *frozen = &host_of(op)->frozen;

    for (uint32_t i = 0; i < frozen->count; i++) {
        if (frozen->items[i].op == op) {
            tdw__heap_take(frozen, i);
            return true;
        }
    }
    return false;
}

void tdw__schedule_remove(struct tdw_world *world, struct tdw_op *op)
{
    if (TDW_UNLIKELY(world->paused > 0) && thaw_one(op))
        return;
    if (world->options.schedule == TDW_ADVERSARY)
        tdw__heap_remove(is_timer(op) ? &world->timers : &world->pending, op, world->picked);
    else if (op->due_ns <= world->loop.now_ns && is_ready(world, op))
        tdw__ready_remove(&world->loop, op, world->picked);
    else
        tdw__wheel_remove(&world->wheel, op->due_ns, op);
}

static struct tdw_op *find_in(const struct tdw_heap *heap, uint64_t item)
{
    for (uint32_t i = 0; i < heap->count; i++)
        if (tdw__item_key(heap->items[i].op) == item)
            return heap->items[i].op;
    return NULL;
}

/* ── Timed ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_op *pick_ready(struct tdw_world *world, uint64_t draw)
{
    world->picked = (uint32_t)draw;
    return world->loop.ready.items[draw].op;
}

static struct tdw_op *find_ready(struct tdw_world *world, uint64_t item)
{
    return find_in(&world->loop.ready, item);
}

static struct tdw_op *choose_ready(struct tdw_world *world)
{
    struct tdw_loop *loop = &world->loop;
    const bool needs_calm = world->options.strategy == TDW_CALM || tdw__choices_explicit(world);
    const uint32_t calm = needs_calm ? tdw__ready_calm(loop) : 0;
    struct tdw_op *op = tdw__choose_next(&(struct tdw_candidates){
        .world = world,
        .count = loop->ready.count,
        .weight = loop->ready.count,
        .calm = loop->ready.items[calm].op,
        .pick = pick_ready,
        .find = find_ready,
    });

    if (op == loop->ready.items[calm].op)
        tdw__ready_take(loop, calm);
    else
        tdw__ready_remove(loop, op, world->picked);
    return op;
}

/* What the wheel has due at `due_ns` becomes ready. */
static void ready_ties(struct tdw_world *world, uint64_t due_ns)
{
    uint64_t due;
    struct tdw_op *op;

    while (tdw__wheel_tie(&world->wheel, due_ns)) {
        op = tdw__wheel_pop(&world->wheel, due_ns, &due);
        tdw__ready_add(&world->loop, op);
    }
}

/* Ops with no latency may have been added for this very instant since the clock came to it. */
static void ready_due_now(struct tdw_world *world)
{
    uint64_t due;
    struct tdw_op *op;

    while ((op = tdw__wheel_pop(&world->wheel, world->loop.now_ns, &due)) != NULL)
        tdw__ready_add(&world->loop, op);
}

static struct tdw_op *next_timed(struct tdw_world *world, uint64_t deadline_ns)
{
    struct tdw_loop *loop = &world->loop;
    struct tdw_op *op;
    uint64_t due;

    if (loop->ready.count > 0 && TDW_UNLIKELY(world->wheel.time_ns != loop->now_ns ||
                                              tdw__wheel_tie(&world->wheel, loop->now_ns)))
        ready_due_now(world);
    if (loop->ready.count == 0) {
        op = tdw__wheel_pop(&world->wheel, deadline_ns, &due);
        if (!op) {
            if (deadline_ns != TDW_NEVER)
                advance(world, deadline_ns);
            return NULL;
        }
        advance(world, due);
        if (TDW_LIKELY(!tdw__wheel_tie(&world->wheel, due)))
            return op;
        tdw__ready_add(loop, op);
        ready_ties(world, due);
    }
    if (loop->ready.count == 1 || TDW_UNLIKELY(world->fair))
        return tdw__ready_take(loop, 0);
    return choose_ready(world);
}

/* ── Adversary ─────────────────────────────────────────────────────────────────────────────── */

static struct tdw_op *pick_any(struct tdw_world *world, uint64_t draw)
{
    const uint32_t ready = world->loop.ready.count;
    const uint64_t index = draw / TDW_TIMER_WEIGHT;

    if (index < ready) {
        world->picked = (uint32_t)index;
        return world->loop.ready.items[index].op;
    }
    if (index < (uint64_t)ready + world->pending.count) {
        world->picked = (uint32_t)index - ready;
        return world->pending.items[index - ready].op;
    }
    world->picked = 0;
    return world->timers.items[0].op;
}

static struct tdw_op *find_any(struct tdw_world *world, uint64_t item)
{
    struct tdw_op *op = find_in(&world->loop.ready, item);

    if (!op)
        op = find_in(&world->pending, item);
    if (!op && world->timers.count && tdw__item_key(world->timers.items[0].op) == item)
        op = world->timers.items[0].op;
    return op;
}

/* The least item of `heap`; with `actor`, of that actor and due now. NULL if there is none. */
static const struct tdw_item *least(const struct tdw_heap *heap, const struct tdw_task *actor,
                                    uint64_t now_ns, const struct tdw_item *best)
{
    if (heap->count == 0 || (actor && heap->items[0].due_ns > now_ns))
        return best;
    if (!actor)
        return !best || tdw__item_before(&heap->items[0], best) ? &heap->items[0] : best;
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct tdw_item *item = &heap->items[i];

        if (item->op->task == actor && item->due_ns <= now_ns &&
            (!best || tdw__item_before(item, best)))
            best = item;
    }
    return best;
}

static struct tdw_op *calm_of_all(const struct tdw_world *world)
{
    const struct tdw_loop *loop = &world->loop;
    const struct tdw_item *best = NULL, *first = NULL;
    uint64_t now = loop->now_ns;

    first = least(&loop->ready, NULL, 0, first);
    first = least(&world->pending, NULL, 0, first);
    first = least(&world->timers, NULL, 0, first);
    /* With nothing due now it is asked at the next instant at which something is, as in timed. */
    if (first->due_ns > now)
        now = first->due_ns;
    if (loop->last && !world->fair) {
        best = least(&loop->ready, loop->last, now, best);
        best = least(&world->pending, loop->last, now, best);
        best = least(&world->timers, loop->last, now, best);
    }
    return (best ? best : first)->op;
}

static struct tdw_op *take_any(struct tdw_world *world, struct tdw_op *op)
{
    if (op->state == TDW_POSTED)
        tdw__ready_remove(&world->loop, op, world->picked);
    else
        tdw__heap_remove(is_timer(op) ? &world->timers : &world->pending, op, world->picked);
    advance(world, op->due_ns);
    return op;
}

static struct tdw_op *next_adversary(struct tdw_world *world, uint64_t deadline_ns)
{
    const struct tdw_loop *loop = &world->loop;
    const uint32_t count = loop->ready.count + world->pending.count + (world->timers.count > 0);
    const bool needs_calm = count == 1 || world->fair || deadline_ns != TDW_NEVER ||
                            world->options.strategy == TDW_CALM || tdw__choices_explicit(world);
    struct tdw_op *calm;

    if (count == 0)
        return NULL;
    calm = needs_calm ? calm_of_all(world) : NULL;
    if (calm && calm->due_ns > deadline_ns) {
        advance(world, deadline_ns);
        return NULL;
    }
    if (count == 1 || world->fair)
        return take_any(world, calm);
    return take_any(world, tdw__choose_next(&(struct tdw_candidates){
                               .world = world,
                               .count = count,
                               .weight = (uint64_t)(loop->ready.count + world->pending.count) *
                                             TDW_TIMER_WEIGHT +
                                         (world->timers.count > 0),
                               .calm = calm,
                               .pick = pick_any,
                               .find = find_any,
                           }));
}

void tdw__schedule_thaw(struct tdw_host *host)
{
    struct tdw_world *world = host->world;

    while (host->frozen.count > 0) {
        struct tdw_op *op = tdw__heap_take(&host->frozen, 0);

        if (op->state == TDW_POSTED) {
            tdw__ready_add(&world->loop, op);
            continue;
        }
        if (op->due_ns < world->loop.now_ns)
            op->due_ns = world->loop.now_ns;
        tdw__schedule_add(world, op);
    }
}

struct tdw_op *tdw__schedule_next(struct tdw_loop *loop, uint64_t deadline_ns)
{
    struct tdw_world *world = tdw__world(loop);

    if (TDW_UNLIKELY(world->watched > 0))
        tdw__watch_disks(world);
    if (TDW_UNLIKELY(loop->between != NULL))
        loop->between(loop);
    for (;;) {
        struct tdw_op *op = world->options.schedule == TDW_TIMED
                                ? next_timed(world, deadline_ns)
                                : next_adversary(world, deadline_ns);

        if (TDW_LIKELY(world->paused == 0) || !op || !host_of(op)->paused)
            return op;
        tdw__heap_add(&host_of(op)->frozen, op);
    }
}

void tdw__sim_schedule_fair(void)
{
    tdw__world(tdw__self->ring->loop)->fair = true;
}
