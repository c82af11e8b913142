/* SPDX-License-Identifier: MIT */
/*
 * An op's way through the runtime: submit, the order of links and drains, complete, deliver.
 *
 *      tdw__submit ─┬─ held: behind a link ────────┐
 *                   ├─ held: behind a drain ───────┤
 *                   └──────────────────────────────┴▶ start ─▶ backend … ─▶ tdw__post ─▶ ready set
 *                                                      └─ private opcode ─▶ sync.c … ─▶ tdw__post
 *
 * Submit puts an op into a slot and starts it at once, unless a link or a drain holds it back;
 * there is no second queue. So the submission queue is full when the slots are (-EAGAIN), and as a
 * completion is stored in its op, the completion queue has room for every op in flight: it cannot
 * overflow, and nothing is ever dropped.
 *
 * A chain is the consecutive linked submits of one step; returning to the loop closes it. A member
 * starts inside the tdw__post of its predecessor, or ends there with -ECANCELED. Starting may
 * complete an op at once, which may start another: tdw__post puts them on a list and only the
 * outermost call works it off, so a long chain needs no stack.
 *
 * A refused submit changes nothing (I6). Cost of submit: the slot, the op's two lines, the task's
 * hot line.
 */
#include <runtime/event.h>
#include <string.h>

#define LINKED (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)
enum { SLOTS_FIRST = 8 };

static bool is_private(const struct tdw_op *op)
{
    return op->sqe.opcode >= TDW_OP_FIRST && op->sqe.opcode < TDW_OP_KERNEL;
}

/* ── Slots ─────────────────────────────────────────────────────────────────────────────────── */

static void slots_put(struct tdw_ring *ring)
{
    if (ring->slots)
        tdw__memory_put(ring->loop->memory, ring->slots, ring->slots_max * sizeof *ring->slots);
    ring->slots = NULL;
}

/* Room for twice as many ops. It starts small and dense: with tables that are reserved as a whole,
 * each on pages of its own, the first slots of a thousand rings would fight for the same few lines
 * of the cache. */
static bool slots_grow(struct tdw_ring *ring)
{
    const uint32_t doubled = ring->slots_max ? ring->slots_max * 2 : SLOTS_FIRST;
    const uint32_t max = doubled < ring->ops_max ? doubled : ring->ops_max;
    struct tdw_slot *slots;

    if (max == ring->slots_max)
        return false;
    slots = tdw__memory_grow(ring->loop->memory, ring->slots, ring->slots_max * sizeof *slots,
                             max * sizeof *slots);
    if (!slots)
        return false;
    ring->slots = slots;
    ring->slots_max = max;
    return true;
}

int tdw__ring_init(struct tdw_ring *ring, struct tdw_loop *loop, const char *path, uint32_t ops_max)
{
    *ring = (struct tdw_ring){
        .loop = loop,
        .ops_max = ops_max,
        .free_slot = TDW_NO_SLOT,
        .path = tdw__intern(loop, path),
        .next = loop->rings,
    };
    ring->held_tail = &ring->held_head;
    ring->startable_tail = &ring->startable;
    if (!ring->path)
        return -ENOMEM;
    loop->rings = ring;
    return 0;
}

/* A free slot, or NULL: the ring is full. */
static struct tdw_slot *slot_take(struct tdw_ring *ring)
{
    struct tdw_slot *slot;

    if (TDW_LIKELY(ring->free_slot != TDW_NO_SLOT)) {
        slot = &ring->slots[ring->free_slot];
        ring->free_slot = slot->link;
    } else if (TDW_LIKELY(ring->slots_used < ring->slots_max) || slots_grow(ring)) {
        slot = &ring->slots[ring->slots_used++];
        slot->gen = 1;
    } else {
        return NULL;
    }
    slot->link = TDW_NO_SLOT;
    return slot;
}

static void slot_give(struct tdw_ring *ring, struct tdw_slot *slot)
{
    slot->op = NULL;
    slot->gen += slot->gen == UINT32_MAX ? 2 : 1; /* never 0: a zeroed user_data names nothing */
    slot->link = ring->free_slot;
    ring->free_slot = (uint32_t)(slot - ring->slots);
}

struct tdw_op *tdw__find(const struct tdw_ring *ring, uint64_t user_data)
{
    const uint32_t index = (uint32_t)user_data;

    if (index >= ring->slots_used || ring->slots[index].gen != user_data >> 32)
        return NULL;
    return ring->slots[index].op;
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

/* A linked time-out runs from the start of the op in front of it. */
static void start_timer(struct tdw_ring *ring, struct tdw_op *op, struct tdw_op *timer)
{
    tdw__slot(ring, timer)->object = op;
    ring->loop->backend->start(ring, timer);
}

/* Ask the gate, and start the op as it says. */
static void start_judged(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_loop *loop = ring->loop;
    const struct tdw_verdict verdict = loop->gate->judge(loop->gate, op);

    op->due_ns = verdict.delay_ns;
    if (verdict.point)
        tdw__event(loop, (struct tdw_event){
                             .kind = TDW_E_FAULT,
                             .opcode = op->sqe.opcode,
                             .actor = op->task->actor,
                             .ordinal = op->ordinal,
                             .res = verdict.error,
                             .off = verdict.delay_ns,
                             .len = verdict.bytes,
                             .data = tdw__hash_text(verdict.point),
                             .site = op->site,
                             .name = verdict.point,
                         });
    if (verdict.error)
        tdw__post(op, verdict.error, 0, 0);
    else if (verdict.delay_ns && loop->backend->delay)
        loop->backend->delay(ring, op);
    else
        loop->backend->start(ring, op);
}

static void start(struct tdw_ring *ring, struct tdw_op *op)
{
    if (is_private(op))
        tdw__private_start(ring, op);
    else if (TDW_LIKELY(!ring->loop->gate))
        ring->loop->backend->start(ring, op);
    else
        start_judged(ring, op);

    if (TDW_UNLIKELY(op->sqe.flags & LINKED) && op->state != TDW_POSTED) {
        const uint32_t link = tdw__slot(ring, op)->link;
        struct tdw_op *next = link == TDW_NO_SLOT ? NULL : ring->slots[link].op;

        if (next && next->sqe.opcode == IORING_OP_LINK_TIMEOUT)
            start_timer(ring, op, next);
    }
}

/* ── Submit ────────────────────────────────────────────────────────────────────────────────── */

static size_t vector_bytes(const struct tdw_op *op)
{
    const struct iovec *iov = (const struct iovec *)(uintptr_t)op->sqe.addr;
    size_t bytes = 0;

    for (uint32_t i = 0; i < op->sqe.len; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* Does the completed `op` let its chain go on? As io_uring: errors and short transfers do not. */
static bool chain_lives(const struct tdw_op *op)
{
    if (op->bits & TDW_OP_CUT)
        return false;
    if (op->sqe.flags & IOSQE_IO_HARDLINK)
        return true;
    if (TDW_UNLIKELY(op->sqe.flags & IOSQE_BUFFER_SELECT && op->flags & IORING_CQE_F_BUFFER) &&
        (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READV))
        return op->res >= 0 && (uint64_t)op->res == op->sqe.__pad2[0]; /* what was picked */
    switch (op->sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
        return op->res >= 0 && (uint32_t)op->res == op->sqe.len;
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return op->res >= 0 && (size_t)op->res == vector_bytes(op);
    case IORING_OP_TIMEOUT:
        return op->res >= 0 ||
               (op->res == -ETIME && op->sqe.timeout_flags & IORING_TIMEOUT_ETIME_SUCCESS);
    default:
        return op->res >= 0;
    }
}

static void count_undrained(struct tdw_ring *ring, struct tdw_op *op)
{
    op->bits |= TDW_OP_COUNTED;
    ring->undrained++;
}

/* The next of a chain whose last member so far is `chain`. */
static void submit_linked(struct tdw_ring *ring, struct tdw_op *chain, struct tdw_op *op)
{
    const bool timer = op->sqe.opcode == IORING_OP_LINK_TIMEOUT;

    if (chain->state == TDW_POSTED) { /* it failed, or succeeded, at its start */
        if (timer || !chain_lives(chain)) {
            op->bits |= timer ? 0 : TDW_OP_CUT;
            tdw__post(op, -ECANCELED, 0, 0);
        } else {
            count_undrained(ring, op);
            start(ring, op);
        }
        return;
    }
    tdw__slot(ring, chain)->link = (uint32_t)op->sqe.user_data;
    if (timer && chain->state != TDW_HELD)
        start_timer(ring, chain, op);
}

/* Does a drain, this one or one before, hold the op back? */
static bool drains(const struct tdw_ring *ring, const struct tdw_op *op)
{
    return ring->draining || (ring->holds && ring->held_head) ||
           ((op->sqe.flags & IOSQE_IO_DRAIN) && ring->undrained > 0);
}

/* Would io_uring or we refuse this entry for its place in a chain? */
static int check_links(const struct tdw_op *chain, const struct tdw_op *op)
{
    const bool timer = op->sqe.opcode == IORING_OP_LINK_TIMEOUT;

    if (timer && !chain)
        return -EINVAL; /* nothing in front of it */
    if (chain && is_private(op))
        return -EINVAL; /* it completes at its start: an order that no backend can keep */
    if (chain && is_private(chain) && !timer)
        return -EINVAL;
    return 0;
}

int tdw__refuse_busy(struct tdw_op *op, const struct tdw_site *site)
{
    tdw__finding(tdw__self->ring->loop, tdw__self, site,
                 "op submitted while in flight (since %s:%u)", op->site->file, op->site->line);
    return -EBUSY;
}

int tdw__submit(struct tdw_op *op, const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    struct tdw_ring *ring = task->ring;
    struct tdw_loop *loop = ring->loop;
    struct tdw_op *chain = ring->chain;
    struct tdw_slot *slot;
    int ret;

    if (TDW_UNLIKELY(op->state != TDW_IDLE))
        return tdw__refuse_busy(op, site);
    if (TDW_UNLIKELY(chain || op->sqe.opcode == IORING_OP_LINK_TIMEOUT)) {
        ret = check_links(chain, op);
        if (ret < 0)
            return ret;
    }
    slot = slot_take(ring);
    if (TDW_UNLIKELY(!slot))
        return -EAGAIN;
    if (TDW_UNLIKELY(op->bits & TDW_OP_SHOTS)) /* what was delivered before, and never awaited */
        tdw__shots_forget(ring, op);

    slot->op = op;
    slot->object = NULL;
    slot->sum = 0;
    op->sqe.user_data = (uint64_t)slot->gen << 32 | (uint64_t)(slot - ring->slots);
    op->task = task;
    op->site = site;
    op->seq = ++loop->seq;
    op->ordinal = task->ops++;
    op->state = TDW_HELD;
    op->flags = 0;
    op->passed = 0;
    op->bits &= TDW_OP_QUIET | TDW_OP_FOREIGN;
    task->inflight++;
    ring->inflight++;
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_SUBMIT,
                         .opcode = op->sqe.opcode,
                         .flags = op->sqe.flags,
                         .fd = op->sqe.fd,
                         .actor = task->actor,
                         .ordinal = op->ordinal,
                         .off = tdw__opcodes[op->sqe.opcode].off == TDW_W_VALUE ? op->sqe.off : 0,
                         .len = op->sqe.len,
                         .data = loop->unobserved ? 0 : tdw__entry_hash(ring, op),
                         .op = op,
                         .site = site,
                     });

    ring->chain = op->sqe.flags & LINKED ? op : NULL;
    if (TDW_UNLIKELY(chain != NULL)) {
        submit_linked(ring, chain, op);
    } else if (is_private(op)) {
        start(ring, op);
    } else if (TDW_UNLIKELY(drains(ring, op))) {
        op->next = NULL;
        *ring->held_tail = op;
        ring->held_tail = &op->next;
        ring->holds = true;
    } else {
        ring->draining = op->sqe.flags & IOSQE_IO_DRAIN;
        count_undrained(ring, op);
        start(ring, op);
    }
    return 0;
}

/* ── Complete ──────────────────────────────────────────────────────────────────────────────── */

static void startable_add(struct tdw_ring *ring, struct tdw_op *op)
{
    op->next = NULL;
    *ring->startable_tail = op;
    ring->startable_tail = &op->next;
    ring->holds = true;
}

/* Behind the completed op in slot `link`: start what follows, or end all of it -ECANCELED. A linked
 * time-out is taken out on the way, and what follows it follows the op. */
static void chain_go_on(struct tdw_ring *ring, uint32_t link, bool lives)
{
    while (link != TDW_NO_SLOT) {
        struct tdw_op *next = ring->slots[link].op;
        const uint32_t after = ring->slots[link].link;

        if (lives && next->sqe.opcode != IORING_OP_LINK_TIMEOUT) {
            count_undrained(ring, next);
            startable_add(ring, next);
            return; /* what follows it waits for it */
        }
        ring->slots[link].link = TDW_NO_SLOT; /* so that its own post goes no further */
        if (next->state != TDW_HELD)
            ring->loop->backend->withdraw(ring, next, -ECANCELED, NULL); /* a timer: at once */
        tdw__post(next, -ECANCELED, 0, 0);
        link = after;
    }
}

/* Let go what was held: a drain, when nothing before it is left; the others, when no drain runs. */
static void release_held(struct tdw_ring *ring)
{
    while (ring->held_head && !ring->draining) {
        struct tdw_op *op = ring->held_head;

        if (op->sqe.flags & IOSQE_IO_DRAIN) {
            if (ring->undrained > 0)
                return;
            ring->draining = true;
        }
        ring->held_head = op->next;
        if (!ring->held_head)
            ring->held_tail = &ring->held_head;
        count_undrained(ring, op);
        startable_add(ring, op);
    }
}

/* Start what may start now. Only the outermost call works the list off. */
static void start_startable(struct tdw_ring *ring)
{
    struct tdw_op *op;

    if (ring->starting)
        return;
    ring->starting = true;
    while ((op = ring->startable) != NULL) {
        ring->startable = op->next;
        if (!ring->startable)
            ring->startable_tail = &ring->startable;
        start(ring, op);
    }
    ring->starting = false;
}

bool tdw__starts_hold(struct tdw_ring *ring)
{
    const bool before = ring->starting;

    ring->starting = true;
    return before;
}

void tdw__starts_go(struct tdw_ring *ring, bool before)
{
    ring->starting = before;
    start_startable(ring);
    ring->holds = ring->held_head || ring->startable;
}

static void finish(struct tdw_ring *ring, struct tdw_op *op)
{
    slot_give(ring, tdw__slot(ring, op));
    op->state = TDW_IDLE;
    op->bits &= TDW_OP_AWAITED | TDW_OP_SHOTS;
    op->task->inflight--;
    ring->inflight--;
}

/* A linked time-out ends before its op: what follows the timer follows the op. */
static void leave_chain(struct tdw_ring *ring, struct tdw_slot *timer)
{
    const struct tdw_op *op = timer->object;
    struct tdw_slot *slot = op ? tdw__slot(ring, op) : NULL;

    if (!slot || slot->link != (uint32_t)(timer - ring->slots))
        return;
    slot->link = timer->link;
    timer->link = TDW_NO_SLOT;
}

void tdw__post(struct tdw_op *op, int32_t res, uint32_t cqe_flags, uint64_t data)
{
    struct tdw_ring *ring = op->task->ring;
    struct tdw_loop *loop = ring->loop;
    struct tdw_slot *slot = tdw__slot(ring, op);
    uint32_t link;

    assert(slot->op == op && op->state != TDW_IDLE && op->state != TDW_POSTED); /* I1, I3 */
    op->res = res;
    op->flags = cqe_flags;
    op->state = TDW_POSTED;
    op->due_ns = loop->now_ns;
    if (TDW_UNLIKELY(loop->gate != NULL) && loop->gate->completed)
        loop->gate->completed(loop->gate, op);
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_COMPLETE,
                         .opcode = op->sqe.opcode,
                         .flags = (uint16_t)cqe_flags,
                         .actor = op->task->actor,
                         .ordinal = op->ordinal,
                         .res = res,
                         .data = data,
                         .op = op,
                         .site = op->site,
                     });
    if (TDW_UNLIKELY(op->sqe.opcode == IORING_OP_LINK_TIMEOUT))
        leave_chain(ring, slot);
    else if (slot->object)
        loop->backend->release(ring, op, slot->object);
    slot->object = NULL;
    if (op->bits & TDW_OP_COUNTED) {
        ring->undrained--;
        ring->completed += op->sqe.opcode != IORING_OP_TIMEOUT;
        if (op->sqe.flags & IOSQE_IO_DRAIN)
            ring->draining = false;
    }

    link = slot->link;
    if (TDW_UNLIKELY(link != TDW_NO_SLOT)) {
        slot->link = TDW_NO_SLOT;
        chain_go_on(ring, link, chain_lives(op));
    }
    if (TDW_UNLIKELY(op->bits & (TDW_OP_QUIET | TDW_OP_SHOTS))) {
        if (op->bits & TDW_OP_QUIET)
            finish(ring, op);
        else if (!tdw__shots_hold(op))
            tdw__ready_add(loop, op);
    } else {
        tdw__ready_add(loop, op);
    }
    if (TDW_UNLIKELY(ring->holds)) {
        release_held(ring);
        start_startable(ring);
        ring->holds = ring->held_head || ring->startable;
    }
    if (TDW_UNLIKELY(ring->counting))
        loop->backend->counted(ring);
}

/* ── Cancel ────────────────────────────────────────────────────────────────────────────────── */

/* Take a held op out of the drain's queue or out of its chain. */
static void unhold(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_op **at = &ring->held_head;

    while (*at && *at != op)
        at = &(*at)->next;
    if (*at) {
        *at = op->next;
        if (!*at)
            ring->held_tail = at;
        return;
    }
    for (uint32_t i = 0; i < ring->slots_used; i++)
        if (ring->slots[i].op && ring->slots[i].link == (uint32_t)op->sqe.user_data)
            ring->slots[i].link = TDW_NO_SLOT;
}

bool tdw__cancellable(const struct tdw_op *op)
{
    const struct tdw_op *held = op->task->ring->held_head;

    if (op->sqe.opcode == IORING_OP_LINK_TIMEOUT)
        return false;
    if (op->state != TDW_HELD)
        return true;
    while (held && held != op)
        held = held->next;
    return held; /* by a drain */
}

/* Does it complete with a notice that its buffer is free again, however it ends? */
static bool gives_back(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_SEND_ZC || op->sqe.opcode == IORING_OP_SENDMSG_ZC;
}

int tdw__cancel(struct tdw_op *op, int32_t res, struct tdw_op *asker)
{
    struct tdw_ring *ring = op->task->ring;
    uint32_t flags;
    int ret;

    if (TDW_UNLIKELY(gives_back(op)) && op->bits & TDW_OP_SHOTS)
        return -ENOENT; /* it completed, and only its notice is to come */
    switch ((enum tdw_op_state)op->state) {
    case TDW_IDLE:
    case TDW_POSTED:
        return -ENOENT;
    case TDW_EFFECTED:
        return -EALREADY;
    case TDW_HELD:
        unhold(ring, op);
        break;
    case TDW_BLOCKED:
    case TDW_PENDING:
        if (is_private(op))
            return tdw__private_cancel(op, res);
        ret = ring->loop->backend->withdraw(ring, op, res, asker);
        if (ret < 0)
            return ret;
        if (op->res > 0 && !(op->bits & TDW_OP_SHOTS)) /* what was moved so far is told */
            res = op->res;
        break;
    }
    /* A buffer that was picked for it is named, so that the program has it back; what a completion
     * before this one left in `flags` was told. */
    flags = op->flags & IORING_CQE_F_BUFFER && !(op->bits & TDW_OP_SHOTS) ? op->flags : 0;
    if (TDW_UNLIKELY(gives_back(op)) && tdw__post_more(op, res, 0, 0)) {
        res = 0;
        flags = IORING_CQE_F_NOTIF;
    }
    tdw__post(op, res, flags, 0);
    return 0;
}

void tdw__link_timeout_fires(struct tdw_op *timer)
{
    struct tdw_ring *ring = timer->task->ring;
    struct tdw_slot *slot = tdw__slot(ring, timer);
    struct tdw_op *op = slot->object;
    const bool quiet = timer->bits & TDW_OP_QUIET;
    int ret;

    leave_chain(ring, slot); /* first: the op may end later than the timer */
    timer->state = TDW_EFFECTED; /* too late to stop it, also if the backend posts it later */
    ret = tdw__cancel(op, quiet ? -ETIME : -ECANCELED, quiet ? NULL : timer);
    if (quiet || ret != -EINPROGRESS)
        tdw__post(timer, ret == 0 || ret == -EINPROGRESS ? -ETIME : ret, 0, 0);
}

/* ── Deliver ───────────────────────────────────────────────────────────────────────────────── */

void tdw__deliver(struct tdw_loop *loop, struct tdw_op *op)
{
    struct tdw_task *task = op->task;
    struct tdw_ring *ring = task->ring;
    const bool silent = (op->sqe.flags & IOSQE_CQE_SKIP_SUCCESS) && op->res >= 0;

    assert(op->state == TDW_POSTED);
    if (TDW_UNLIKELY(op->sqe.opcode == TDW_OP_SHOT)) {
        tdw__deliver_shot(loop, op);
        return;
    }
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_DELIVER,
                         .opcode = op->sqe.opcode,
                         .flags = (uint16_t)op->flags,
                         .actor = task->actor,
                         .ordinal = op->ordinal,
                         .res = op->res,
                         .op = op,
                         .site = op->site,
                     });
    if (TDW_UNLIKELY(op->bits & TDW_OP_SHOTS))
        tdw__shots_over(op);
    finish(ring, op);
    tdw__self = task;
    loop->last = task;
    loop->deliveries++;
    if (TDW_LIKELY(!silent && !(task->bits & TDW_TASK_ENDED) && !ring->ending))
        op->done(op); /* the op may be gone afterwards */
    ring->chain = NULL;
    tdw__task_settle(task);
    tdw__self = NULL;
}

void tdw_gate_set(struct tdw_loop *loop, struct tdw_gate *gate)
{
    loop->gate = gate;
}

/* ── Public calls over this ────────────────────────────────────────────────────────────────── */

bool tdw__has_room(uint32_t ops)
{
    const struct tdw_ring *ring = tdw__self->ring;

    return ring->ops_max - ring->inflight >= ops;
}

int tdw__within(struct tdw_op *timer, uint64_t ns, const struct tdw_site *site, int submitted)
{
    if (submitted < 0)
        return submitted;
    tdw_prep_link_timeout(timer, ns);
    timer->bits |= TDW_OP_QUIET;
    timer->done = NULL;
    return tdw__submit(timer, site); /* there is room, and the timer is idle: looked at before */
}

void tdw__ring_withdraw_all(struct tdw_ring *ring)
{
    tdw__shots_drop_all(ring);
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (!op)
            continue;
        if (op->state == TDW_POSTED)
            tdw__ready_remove(ring->loop, op, 0);
        else if (op->state == TDW_BLOCKED && is_private(op))
            tdw__private_withdraw(op);
        else if (op->state != TDW_HELD)
            ring->loop->backend->forget(ring, op);
        if (ring->slots[i].object && op->sqe.opcode != IORING_OP_LINK_TIMEOUT)
            ring->loop->backend->release(ring, op, ring->slots[i].object);
        ring->slots[i].op = NULL;
    }
    ring->inflight = 0;
    ring->held_head = ring->startable = NULL;
}

void tdw__ring_fini(struct tdw_ring *ring)
{
    slots_put(ring);
    ring->slots_used = ring->slots_max = 0;
    ring->free_slot = TDW_NO_SLOT;
}
