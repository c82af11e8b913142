/* SPDX-License-Identifier: MIT */
/*
 * The `sim` backend: an io_uring that is not the kernel.
 *
 *     start ─▶ blocked ──wake──▶ pending ─▶ effect ─▶ (effected) ─▶ complete
 *                 ▲                 │
 *                 └── still blocked ┘
 *
 * An op of the kernel's starts when it is submitted: arguments are checked, the descriptor is
 * resolved, its latency is drawn. It then waits in the queue of the object that blocks it, or for
 * its time. When that has come it takes effect, and completes together with that, unless a choice
 * said that the effect comes earlier: then it can be lost from sight in between, which is the state
 * "written, but not yet acknowledged" that programs must survive.
 *
 * Cancellation is here, time-outs are in timeout.c; all else is a row of the table.
 */
#include <sim/kernel/drive.h>
#include <sim/kernel/net/net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLAGS_UNKNOWN = 1 << 7 }; /* of an entry: all others have a meaning */

static struct tdw_process *process_of(const struct tdw_op *op)
{
    return tdw_of(op->task->ring, struct tdw_process, ring);
}

struct tdw_process *tdw__process(void)
{
    return tdw_of(tdw__self->ring, struct tdw_process, ring);
}

/* ── Pending ───────────────────────────────────────────────────────────────────────────────── */

/* The op may go on after `latency_ns`. While it is pending, `place` keeps the latency. */
static inline void pend(struct tdw_world *world, struct tdw_op *op, uint64_t latency_ns)
{
    const uint64_t now = world->loop.now_ns;

    if (op->state != TDW_EFFECTED)
        op->state = TDW_PENDING;
    op->place = latency_ns;
    op->due_ns = latency_ns > TDW_NEVER - 1 - now ? TDW_NEVER - 1 : now + latency_ns;
    tdw__schedule_add(world, op);
}

void tdw__pend(struct tdw_op *op, uint64_t latency_ns)
{
    pend(tdw__world(op->task->ring->loop), op, latency_ns);
}

static void block(struct tdw_waitq *queue, struct tdw_op *op, uint64_t latency_ns)
{
    op->state = TDW_BLOCKED;
    op->due_ns = latency_ns;
    op->next = NULL;
    if (queue->head)
        queue->tail->next = op;
    else
        queue->head = op;
    queue->tail = op;
}

/* Is it a poll that asks for none of `events`? */
static bool sleeps_on(struct tdw_op *op, uint32_t events)
{
    return op->sqe.opcode == IORING_OP_POLL_ADD &&
           !tdw__poll_woken(op, tdw__slot(op->task->ring, op)->object, events);
}

void tdw__wake_for(struct tdw_waitq *queue, uint32_t events)
{
    struct tdw_op *op = queue->head;
    struct tdw_watch *next;

    queue->head = NULL;
    while (op) {
        struct tdw_op *behind = op->next;

        if (sleeps_on(op, events))
            block(queue, op, op->due_ns);
        else
            tdw__pend(op, op->due_ns);
        op = behind;
    }
    for (struct tdw_watch *watch = queue->watches; watch; watch = next) {
        next = watch->next;
        if (watch->woken(watch, events) && watch->exclusive)
            break;
    }
}

void tdw__wake(struct tdw_waitq *queue)
{
    tdw__wake_for(queue, ~0u);
}

/* The first one's `prev` is the last. */
void tdw__watch(struct tdw_waitq *queue, struct tdw_watch *watch)
{
    struct tdw_watch *first = queue->watches, *last = first ? first->prev : watch;

    if (!first || !watch->exclusive) { /* exclusive ones behind all others, oldest first */
        queue->watches = watch;
        watch->next = first;
        watch->prev = last;
        if (first)
            first->prev = watch;
        return;
    }
    watch->next = NULL;
    watch->prev = last;
    last->next = first->prev = watch;
}

void tdw__unwatch(struct tdw_waitq *queue, struct tdw_watch *watch)
{
    struct tdw_watch *first = queue->watches;

    if (watch == first)
        queue->watches = watch->next;
    else
        watch->prev->next = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
    else if (watch != first)
        first->prev = watch->prev;
}

/* ── Work of the kernel's own ──────────────────────────────────────────────────────────────── */

uint64_t tdw__own_name(struct tdw_loop *loop)
{
    const uint64_t key = tdw__mix(tdw__self->actor, TDW_K2);

    return tdw__mix(key, tdw__count(loop, key));
}

void tdw__actor_init(struct tdw_task *actor, struct tdw_world *world, uint64_t name)
{
    actor->actor = name;
    actor->bits = TDW_TASK_ROOT; /* its path is its ring's */
    actor->ring = &world->kernel;
}

void tdw__actor_fini(struct tdw_task *actor)
{
    struct tdw_loop *loop = actor->ring->loop;

    assert(actor->ready == 0);
    if (loop->last == actor)
        loop->last = NULL;
}

void tdw__work_at(struct tdw_op *work, struct tdw_task *actor, struct tdw_host *host,
                  uint8_t opcode, uint64_t due_ns, tdw_done_fn *run)
{
    struct tdw_loop *loop = actor->ring->loop;

    assert(work->state == TDW_IDLE);
    work->sqe.opcode = opcode;
    work->sqe.addr = (uintptr_t)host;
    work->task = actor;
    work->done = run;
    work->seq = ++loop->seq;
    work->passed = 0;
    work->state = TDW_PENDING;
    work->due_ns = due_ns > loop->now_ns ? due_ns : loop->now_ns;
    tdw__schedule_add(tdw__world(loop), work);
}

void tdw__work_cancel(struct tdw_op *work)
{
    if (work->state != TDW_PENDING)
        return;
    tdw__schedule_remove(tdw__world(work->task->ring->loop), work);
    work->state = TDW_IDLE;
}

/* ── Cancel ────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_foreign *foreign(const struct tdw_op *op)
{
    return op->bits & TDW_OP_FOREIGN ? (const void *)op : NULL; /* it is the first member */
}

/* Are both of the same program's ring, or neither of any? */
static bool same_ring(const struct tdw_op *a, const struct tdw_op *b)
{
    const struct tdw_foreign *x = foreign(a), *y = foreign(b);

    return x && y ? x->uring == y->uring : !x == !y;
}

static uint64_t user_data_of(const struct tdw_op *op)
{
    const struct tdw_foreign *own = foreign(op);

    return own ? own->user_data : op->sqe.user_data;
}

struct tdw_op *tdw__target(const struct tdw_op *op, uint64_t user_data)
{
    struct tdw_ring *ring = op->task->ring;

    if (!foreign(op))
        return tdw__find(ring, user_data);
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *other = ring->slots[i].op;

        if (other && other != op && same_ring(op, other) && other->state != TDW_POSTED &&
            user_data_of(other) == user_data)
            return other;
    }
    return NULL;
}

/* `file`: the one to cancel by, or NULL. Linux looks at open files, so an op that was submitted
 * with a duplicate is hit, and one that was submitted before the descriptor was closed is not. */
static bool matches(const struct tdw_op *cancel, const struct tdw_op *op,
                    const struct tdw_file *file)
{
    const uint32_t flags = cancel->sqe.cancel_flags;

    if (op == cancel || op->state == TDW_POSTED || !same_ring(cancel, op) || !tdw__cancellable(op))
        return false;
    if (flags & IORING_ASYNC_CANCEL_ANY)
        return true;
    if (!(flags & IORING_ASYNC_CANCEL_FD))
        return user_data_of(op) == cancel->sqe.addr;
    return op->state != TDW_HELD &&
           file == tdw__op_started_on(op, tdw__slot(op->task->ring, op)->object);
}

/* By descriptor, user_data, or any: with ALL how many there were, else the first one's answer. The
 * order is that of their slots. */
static int32_t cancel_many(struct tdw_ring *ring, struct tdw_op *cancel,
                           const struct tdw_file *file)
{
    const bool all = cancel->sqe.cancel_flags & IORING_ASYNC_CANCEL_ALL;
    const bool held = tdw__starts_hold(ring);
    int32_t count = 0, first = -ENOENT;

    for (uint32_t i = 0; i < ring->slots_used && (all || first == -ENOENT); i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (!op || !matches(cancel, op, file))
            continue;
        first = tdw__cancel(op, -ECANCELED, NULL);
        count += first == 0;
    }
    tdw__starts_go(ring, held);
    return all ? count : first;
}

static int32_t cancel_effect(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const uint32_t many =
        IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    const struct tdw_file *file = NULL;
    struct tdw_op *target;

    (void)object;
    if (op->sqe.cancel_flags & IORING_ASYNC_CANCEL_FD) {
        file = op->sqe.cancel_flags & IORING_ASYNC_CANCEL_FD_FIXED
                   ? tdw__registered_file(process, (uint32_t)op->sqe.fd)
                   : tdw__op_file(process, op);
        if (!file)
            return -EBADF;
    }
    if (op->sqe.cancel_flags & many)
        return cancel_many(&process->ring, op, file);
    target = tdw__target(op, op->sqe.addr);
    return target && target != op && tdw__cancellable(target)
               ? tdw__cancel(target, -ECANCELED, NULL)
               : -ENOENT;
}

static int cancel_start(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const uint32_t known = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD |
                           IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD_FIXED;
    const uint32_t flags = op->sqe.cancel_flags;

    (void)process, (void)object;
    if (op->sqe.off || op->sqe.len || op->sqe.splice_fd_in || flags & ~known)
        return -EINVAL;
    return flags & IORING_ASYNC_CANCEL_FD && flags & IORING_ASYNC_CANCEL_ANY ? -EINVAL : 0;
}

static int32_t nop_effect(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process, (void)op, (void)object;
    return 0;
}

const struct tdw_sim_opcode *tdw__sim_opcode(uint8_t opcode)
{
    static const struct tdw_sim_opcode nop = {.effect = nop_effect};
    static const struct tdw_sim_opcode cancel = {.start = cancel_start, .effect = cancel_effect};

    switch (opcode) {
    case IORING_OP_NOP:
        return &nop;
    case IORING_OP_ASYNC_CANCEL:
        return &cancel;
    case IORING_OP_TIMEOUT_REMOVE:
        return &tdw__row_timeout_remove;
    default:
        return tdw__file_opcode(opcode);
    }
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

static void warn_unknown(struct tdw_world *world, const struct tdw_op *op)
{
    uint64_t *word = &world->warned[op->sqe.opcode / 64];
    const uint64_t bit = 1ull << (op->sqe.opcode % 64);

    if (!(*word & bit))
        fprintf(stderr, "tidewheel: %s:%u: the simulated kernel has no opcode %u; -EINVAL\n",
                op->site->file, op->site->line, op->sqe.opcode);
    *word |= bit;
}

static uint32_t draw(struct tdw_world *world, const struct tdw_op *op, uint8_t kind, uint32_t bound)
{
    return tdw__choose(&world->loop, &(struct tdw_choice){
                                         .kind = kind,
                                         .ordinal = op->ordinal,
                                         .bound = bound,
                                         .actor = op->task->actor,
                                     });
}

/* How long a request takes that reaches the drive of its host; false: it does not. */
static bool drive_ns(struct tdw_drive *drive, const struct tdw_op *op, const void *object,
                     uint32_t value, uint64_t *ns)
{
    enum tdw_request request;
    uint64_t bytes = 0;

    if (tdw__file_request(op, object, &request, &bytes)) {
        *ns = tdw__drive_ns(drive, op, request, bytes, tdw__quantile_place(value));
        return true;
    }
    if (tdw__opcodes[op->sqe.opcode].class == TDW_C_WRITE)
        tdw__drive_dirty(drive, bytes);
    return false;
}

/* … while the disk hangs: what asks it for something, or to keep something, waits. */
static uint64_t stalled(const struct tdw_op *op, const struct tdw_host *host, uint64_t ns)
{
    const uint8_t class = tdw__opcodes[op->sqe.opcode].class;
    const uint64_t left = host->stalled_until_ns - host->world->loop.now_ns;
    const struct tdw_file *file = tdw__op_file(process_of(op), op);
    const bool asks = class == TDW_C_FLUSH || (class == TDW_C_READ && file && file->inode);

    return asks && ns < left ? left : ns;
}

/* How long the op takes, unless it has to wait for somebody. */
static inline uint64_t latency_of(struct tdw_world *world, struct tdw_op *op,
                                  const struct tdw_sim_opcode *row, const void *object)
{
    const uint32_t value = draw(world, op, TDW_CHOOSE_LATENCY, TDW_LATENCY_BOUND);
    const uint64_t delay = TDW_UNLIKELY(world->loop.gate != NULL) ? op->due_ns : 0;
    const struct tdw_host *host = process_of(op)->host;
    uint64_t ns;

    if (row->how != TDW_SPLITS || !host->drive || !object ||
        !drive_ns(host->drive, op, object, value, &ns))
        ns = tdw__latency_ns(tdw__opcodes[op->sqe.opcode].class, value);
    ns = delay + ns * host->slowdown;
    return TDW_LIKELY(host->stalled_until_ns <= world->loop.now_ns) ? ns : stalled(op, host, ns);
}

static void start_row(struct tdw_world *world, struct tdw_op *op, const struct tdw_sim_opcode *row)
{
    struct tdw_process *process = process_of(op);
    struct tdw_slot *slot = tdw__slot(&process->ring, op);
    struct tdw_waitq *queue;
    uint64_t latency;

    if (row->start) {
        const int ret = row->start(process, op, &slot->object);

        if (ret < 0) {
            tdw__post(op, ret, op->flags, 0);
            return;
        }
    }
    if (world->options.watch_buffers)
        tdw__buffer_start(op);
    latency = latency_of(world, op, row, slot->object);
    queue = row->blocked ? row->blocked(process, op, slot->object) : NULL;
    if (queue && op->task->bits & TDW_TASK_STOPPING) {
        tdw__buffer_stop(op);
        tdw__post(op, -ECANCELED, op->flags, 0);
    } else if (queue) {
        block(queue, op, latency);
    } else if (row->how == TDW_SPLITS) {
        const uint64_t quarters = draw(world, op, TDW_CHOOSE_EFFECT, TDW_EFFECT_BOUND);

        /* After the effect, `place` is the time until it completes. */
        op->bits &= (uint8_t)~TDW_OP_EARLY;
        if (quarters > 0) {
            op->bits |= TDW_OP_EARLY;
            pend(world, op, latency * quarters / TDW_EFFECT_BOUND);
            op->place = latency - latency * quarters / TDW_EFFECT_BOUND;
        } else {
            pend(world, op, latency);
        }
    } else {
        pend(world, op, latency);
    }
}

/* What an entry is refused for before anybody looks what it asks for, in Linux's order. */
int tdw__check_entry(const struct tdw_world *world, const struct tdw_op *op)
{
    const uint8_t opcode = op->sqe.opcode;
    const bool known = world->rows[opcode] || tdw__is_timeout(op);

    if (!known || op->sqe.flags & FLAGS_UNKNOWN)
        return -EINVAL;
    if (op->sqe.flags & IOSQE_BUFFER_SELECT && !tdw__buffer_selects(opcode))
        return -EOPNOTSUPP;
    return foreign(op) && foreign(op)->forbidden ? -EACCES : 0;
}

/* A time-out, an entry of a program's own ring, or one that nobody knows what to make of. */
static void start_other(struct tdw_world *world, struct tdw_op *op,
                        const struct tdw_sim_opcode *row)
{
    const int err = tdw__check_entry(world, op);

    if (err < 0) {
        if (!row && !tdw__is_timeout(op))
            warn_unknown(world, op);
        tdw__post(op, err, op->flags, 0);
    } else if (row) {
        start_row(world, op, row);
    } else {
        tdw__timeout_start(op);
    }
}

static void sim_start(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_world *world = tdw__world(ring->loop);
    const struct tdw_sim_opcode *row = world->rows[op->sqe.opcode];

    op->state = TDW_PENDING;
    op->res = 0;
    if (TDW_LIKELY(row && !(op->sqe.flags & (FLAGS_UNKNOWN | IOSQE_BUFFER_SELECT)) &&
                   !(op->bits & TDW_OP_FOREIGN)))
        start_row(world, op, row);
    else
        start_other(world, op, row);
}

/* ── Step: the op's time has come ──────────────────────────────────────────────────────────── */

/* The effect was not the op's last. */
static void go_on(struct tdw_op *op, const struct tdw_sim_opcode *row, int32_t answer)
{
    struct tdw_process *process = process_of(op);
    const uint64_t latency_ns = op->place;
    struct tdw_waitq *queue;

    if (answer == TDW_WAITS) /* only its queue is asked for */
        op->state = TDW_BLOCKED;
    queue = row->blocked(process, op, tdw__slot(&process->ring, op)->object);
    if (queue)
        block(queue, op, latency_ns);
    else
        tdw__pend(op, latency_ns);
}

static inline void take_effect(struct tdw_world *world, struct tdw_op *op,
                               const struct tdw_sim_opcode *row)
{
    struct tdw_process *process = process_of(op);
    void *object = tdw__slot(&process->ring, op)->object;
    struct tdw_waitq *queue =
        row->blocked && row->how != TDW_TRIES ? row->blocked(process, op, object) : NULL;
    uint64_t data;
    int32_t res;

    if (queue) {
        block(queue, op, op->place);
        return;
    }
    if (world->options.watch_buffers)
        tdw__buffer_stop(op);
    if (TDW_UNLIKELY(op->bits & TDW_OP_SHOTS)) { /* the last delivery left its own there */
        op->res = 0;
        op->flags = 0;
    }
    res = row->effect(process, op, object);
    if (TDW_UNLIKELY(res == TDW_AGAIN || res == TDW_WAITS)) {
        go_on(op, row, res);
        return;
    }
    if (TDW_UNLIKELY(res == -EPIPE))
        tdw__process_sigpipe(process, op);
    data = tdw__opcodes[op->sqe.opcode].buffer == TDW_B_NONE ? 0 : tdw__buffer_effect(op, res);
    if (TDW_UNLIKELY(op->flags & IORING_CQE_F_BUFFER))
        data = tdw__mix(data, op->flags); /* an event's own flags are the low half */
    if (TDW_LIKELY(!(op->bits & TDW_OP_EARLY))) {
        tdw__post(op, res, op->flags, data);
        return;
    }
    op->res = res;
    op->state = TDW_EFFECTED;
    tdw__event(&world->loop, (struct tdw_event){
                                 .kind = TDW_E_EFFECT,
                                 .opcode = op->sqe.opcode,
                                 .actor = op->task->actor,
                                 .ordinal = op->ordinal,
                                 .res = res,
                                 .data = data,
                                 .op = op,
                                 .site = op->site,
                             });
    tdw__pend(op, op->place);
}

static void sim_step(struct tdw_loop *loop, struct tdw_op *op)
{
    struct tdw_world *world = tdw__world(loop);
    const struct tdw_sim_opcode *row = world->rows[op->sqe.opcode];
    struct tdw_task *self = tdw__self;

    tdw__self = op->task; /* work inside the kernel belongs to the op that caused it */
    loop->last = op->task;
    if (op->state == TDW_EFFECTED) {
        tdw__post(op, op->res, op->flags, 0);
    } else if (TDW_LIKELY(row != NULL)) {
        take_effect(world, op, row);
    } else if (tdw__is_timeout(op)) {
        tdw__timeout_fires(op);
    } else { /* the kernel's own */
        op->state = TDW_IDLE;
        op->done(op);
    }
    tdw__self = self;
}

/* ── Out again ─────────────────────────────────────────────────────────────────────────────── */

static void unblock(struct tdw_op *op, const struct tdw_sim_opcode *row)
{
    struct tdw_process *process = process_of(op);
    struct tdw_waitq *queue = row->blocked(process, op, tdw__slot(&process->ring, op)->object);
    struct tdw_op **at = &queue->head, *before = NULL;

    while (*at != op) {
        before = *at;
        at = &(*at)->next;
    }
    *at = op->next;
    if (queue->tail == op)
        queue->tail = before;
}

void tdw__wake_op(struct tdw_op *op)
{
    unblock(op, tdw__sim_opcode(op->sqe.opcode));
    tdw__pend(op, op->due_ns);
}

static void sim_forget(struct tdw_ring *ring, struct tdw_op *op)
{
    tdw__buffer_drop(op);
    if (op->state == TDW_BLOCKED)
        unblock(op, tdw__sim_opcode(op->sqe.opcode));
    else
        tdw__schedule_remove(tdw__world(ring->loop), op);
}

static int sim_withdraw(struct tdw_ring *ring, struct tdw_op *op, int32_t res, struct tdw_op *asker)
{
    (void)res, (void)asker; /* it is known at once */
    /* What a worker of the real kernel has begun cannot be stopped; timers and waits can. */
    if (op->state == TDW_PENDING && tdw__world(ring->loop)->rows[op->sqe.opcode] &&
        !tdw__file_op_waits(op->sqe.opcode, tdw__slot(ring, op)->object))
        return -EALREADY;
    tdw__buffer_stop(op);
    sim_forget(ring, op);
    return 0;
}

static void sim_release(struct tdw_ring *ring, struct tdw_op *op, void *object)
{
    const struct tdw_sim_opcode *row = tdw__world(ring->loop)->rows[op->sqe.opcode];

    if (row && row->release)
        row->release(tdw_of(ring, struct tdw_process, ring), object);
}

/* There are no other threads here: whoever calls is the loop's own. */
static void sim_wake(struct tdw_loop *loop)
{
    tdw__wakes(loop, 1);
}

static bool sim_idle(struct tdw_loop *loop)
{
    const struct tdw_world *world = tdw__world(loop);

    return loop->ready.count == 0 && world->wheel.count == 0 && world->pending.count == 0 &&
           world->timers.count == 0;
}

const struct tdw_backend_ops tdw__sim_backend = {
    .name = "sim",
    .start = sim_start,
    .moves_whole = tdw__sim_moves_whole,
    .next = tdw__schedule_next,
    .step = sim_step,
    .withdraw = sim_withdraw,
    .idle = sim_idle,
    .forget = sim_forget,
    .counted = tdw__timeouts_count,
    .ended = tdw__process_ended,
    .release = sim_release,
    .wake = sim_wake,
    .describe = tdw__sim_describe,
    .calls = &tdw__sim_calls,
};

/* ── Worlds ────────────────────────────────────────────────────────────────────────────────── */

static void set_options(struct tdw_world *world, const struct tdw_world_options *options)
{
    struct tdw_loop *loop = &world->loop;

    world->options = *options;
    if (!world->options.ops_max)
        world->options.ops_max = 1u << 20;
    if (!world->options.slowdown)
        world->options.slowdown = 1;
    world->seed_key = tdw__mix(options->seed, TDW_K3);
    world->kernel.loop = loop;
    world->kernel.path = "kernel";
    loop->choose = tdw__sim_choose;
    loop->steps_max = options->steps_max ? options->steps_max : 100000000;
    if (options->stack_bytes)
        loop->stack_bytes = options->stack_bytes;
}

struct tdw_world *tdw_world_new(const struct tdw_world_options *options)
{
    struct tdw_world *world = aligned_alloc(64, (sizeof *world + 63) / 64 * 64);

    if (!world)
        return NULL;
    memset(world, 0, sizeof *world);
    if (tdw__loop_init(&world->loop, &tdw__sim_backend) < 0) {
        free(world);
        return NULL;
    }
    if (tdw__net_init(world) < 0) {
        tdw__loop_fini(&world->loop);
        free(world);
        return NULL;
    }
    world->hosts_tail = &world->hosts;
    tdw__wheel_init(&world->wheel);
    for (int opcode = 0; opcode < 256; opcode++)
        world->rows[opcode] = tdw__sim_opcode((uint8_t)opcode);
    world->choices.diverged = SIZE_MAX;
    set_options(world, options);
    return world;
}

void tdw_world_reset(struct tdw_world *world, const struct tdw_world_options *options)
{
    struct tdw_loop *loop = &world->loop;

    if (loop->promises)
        loop->promises_free(loop);
    tdw__hosts_free(world);
    tdw__net_reset(world);
    tdw__wheel_reset(&world->wheel);
    world->pending.count = world->timers.count = loop->ready.count = 0;
    tdw__choices_reset(&world->choices);
    tdw__names_reset(loop->names);
    world->pids = 0;
    world->paused = world->watched = 0;
    world->fair = false;
    loop->now_ns = loop->seq = loop->steps = 0;
    loop->switches = loop->frames = loop->deliveries = 0;
    loop->digest = (struct tdw_digest){0, 0};
    loop->last = NULL;
    loop->tasks_alive = loop->findings = loop->notes = loop->wakes = 0;
    loop->wakers.waiters = NULL;
    loop->stop = false;
    loop->between = NULL;
    set_options(world, options);
}

void tdw_world_free(struct tdw_world *world)
{
    if (!world)
        return;
    tdw__hosts_free(world);
    tdw__net_fini(world);
    tdw__choices_reset(&world->choices);
    tdw__wheel_fini(&world->wheel);
    free(world->pending.items);
    free(world->timers.items);
    tdw__loop_fini(&world->loop);
    free(world);
}

int tdw_world_run(struct tdw_world *world, void (*main)(void *), void *arg)
{
    struct tdw_host *host = tdw__host_in(world, "main", main, arg);

    if (!host || tdw__sim_host_boot(host) < 0)
        return -ENOMEM;
    return tdw_loop_run(&world->loop);
}

struct tdw_loop *tdw_world_loop(struct tdw_world *world)
{
    return &world->loop;
}

struct tdw_digest tdw_world_digest(const struct tdw_world *world)
{
    return world->loop.digest;
}

uint64_t tdw_world_steps(const struct tdw_world *world)
{
    return world->loop.steps;
}

uint64_t tdw_world_now(const struct tdw_world *world)
{
    return world->loop.now_ns;
}

uint32_t tdw_world_findings(const struct tdw_world *world)
{
    return world->loop.findings;
}
