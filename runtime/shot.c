/* SPDX-License-Identifier: MIT */
/*
 * Ops with several completions: multishot polls, accepts, receives and time-outs, and sends
 * without a copy.
 *
 *     post_more ─▶ [shot][shot][shot] ─▶ the op's own completion, without IORING_CQE_F_MORE
 *                    └ only the first of them is in the ready set
 *
 * A completion is stored in its op, so each one but the last is stored in a *shot*: an op of our
 * own, from the loop's pool, that is posted and delivered on behalf of the real one. Shots of an op
 * are delivered in the order in which they were posted, and the op's own completion after all of
 * them: it is posted as ever, but waits behind the last shot. At each delivery `res` and `flags` of
 * the op are the shot's.
 *
 * A callback's `done` is called for each. A coroutine may be busy with something else when a
 * completion is delivered: those that it has not awaited yet are kept, in order, and each await
 * takes one.
 *
 * The list of an op is found through the last word of its entry, which no opcode with several
 * completions uses; it is ours from the first shot (TDW_OP_SHOTS) until the last completion was
 * delivered and taken.
 * Cost: an op with one completion pays one predicted branch at submit, post and deliver.
 */
#include <runtime/event.h>

struct tdw_shots {
    struct tdw_shots *next, *prev; /* of the ring, so that a killed process loses none */
    struct tdw_op *op;
    struct tdw_op *head, *tail;      /* posted, not delivered */
    struct tdw_op *kept, *kept_tail; /* delivered, and not yet taken by a coroutine */
    uint32_t count;
    bool over;  /* the op's own completion was delivered: the op is not ours any more */
    bool ended; /* the op's own completion waits behind the tail: */
    int32_t res;
    uint32_t flags;
};

static struct tdw_shots *shots_of(const struct tdw_op *op)
{
    return op->bits & TDW_OP_SHOTS ? (struct tdw_shots *)(uintptr_t)op->sqe.__pad2[0] : NULL;
}

static struct tdw_shots *shots_for(struct tdw_op *op)
{
    struct tdw_ring *ring = op->task->ring;
    struct tdw_shots *shots = shots_of(op);

    if (shots)
        return shots;
    shots = tdw__memory_get(ring->loop->memory, sizeof *shots);
    if (!shots)
        return NULL;
    shots->op = op;
    shots->next = ring->shots;
    if (shots->next)
        shots->next->prev = shots;
    ring->shots = shots;
    op->bits |= TDW_OP_SHOTS;
    op->sqe.__pad2[0] = (uintptr_t)shots;
    return shots;
}

static void push(struct tdw_op **head, struct tdw_op **tail, struct tdw_op *shot)
{
    shot->next = NULL;
    if (*head)
        (*tail)->next = shot;
    else
        *head = shot;
    *tail = shot;
}

static void free_list(struct tdw_loop *loop, struct tdw_op *shot)
{
    while (shot) {
        struct tdw_op *next = shot->next;

        tdw__memory_put(loop->memory, shot, sizeof *shot);
        shot = next;
    }
}

static void make_ready(struct tdw_loop *loop, struct tdw_op *op)
{
    op->due_ns = loop->now_ns;
    tdw__ready_add(loop, op);
}

static void drop(struct tdw_ring *ring, struct tdw_shots *shots)
{
    if (shots->head)
        tdw__ready_remove(ring->loop, shots->head, 0);
    free_list(ring->loop, shots->head);
    free_list(ring->loop, shots->kept);
    if (shots->next)
        shots->next->prev = shots->prev;
    if (shots->prev)
        shots->prev->next = shots->next;
    else
        ring->shots = shots->next;
    tdw__memory_put(ring->loop->memory, shots, sizeof *shots);
}

void tdw__shots_drop(struct tdw_op *op)
{
    drop(op->task->ring, shots_of(op));
    op->bits &= (uint8_t)~TDW_OP_SHOTS;
    op->sqe.__pad2[0] = 0;
}

/* The entry may have been filled in anew meanwhile: the word in it cannot be relied on. */
void tdw__shots_forget(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_shots *shots = ring->shots;

    while (shots && shots->op != op)
        shots = shots->next;
    if (shots)
        drop(ring, shots);
    op->bits &= (uint8_t)~TDW_OP_SHOTS;
}

void tdw__shots_drop_all(struct tdw_ring *ring)
{
    while (ring->shots) {
        struct tdw_shots *shots = ring->shots;

        if (shots->over) { /* whoever awaited it never took what was kept; the op may be gone */
            drop(ring, shots);
            continue;
        }
        if (shots->ended) /* now it is like any other that is posted */
            make_ready(ring->loop, shots->op);
        tdw__shots_drop(shots->op);
    }
}

/* ── Post ──────────────────────────────────────────────────────────────────────────────────── */

bool tdw__post_more(struct tdw_op *op, int32_t res, uint32_t cqe_flags, uint64_t data)
{
    struct tdw_loop *loop = op->task->ring->loop;
    struct tdw_shots *shots = shots_for(op);
    struct tdw_op *shot = shots ? tdw__memory_get(loop->memory, sizeof *shot) : NULL;
    const bool first = shots && !shots->head;

    if (!shot)
        return false;
    shot->sqe.opcode = TDW_OP_SHOT;
    shot->sqe.addr = (uintptr_t)op;
    shot->sqe.off = ++shots->count;
    shot->task = op->task;
    shot->site = op->site;
    shot->seq = ++loop->seq;
    shot->ordinal = op->ordinal;
    shot->res = res;
    shot->flags = cqe_flags | IORING_CQE_F_MORE;
    shot->state = TDW_POSTED;
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_COMPLETE,
                         .opcode = op->sqe.opcode,
                         .flags = (uint16_t)shot->flags,
                         .actor = op->task->actor,
                         .ordinal = op->ordinal,
                         .res = res,
                         .data = data,
                         .op = op,
                         .site = op->site,
                     });
    push(&shots->head, &shots->tail, shot);
    if (first)
        make_ready(loop, shot);
    op->task->ring->completed += op->sqe.opcode != IORING_OP_TIMEOUT;
    if (TDW_UNLIKELY(op->task->ring->counting))
        loop->backend->counted(op->task->ring);
    return true;
}

bool tdw__shots_hold(struct tdw_op *op)
{
    struct tdw_shots *shots = shots_of(op);

    if (!shots->head)
        return false;
    shots->ended = true;
    shots->res = op->res;
    shots->flags = op->flags;
    return true;
}

/* ── Deliver ───────────────────────────────────────────────────────────────────────────────── */

static void keep(struct tdw_op *op, int32_t res, uint32_t flags)
{
    struct tdw_loop *loop = op->task->ring->loop;
    struct tdw_shots *shots = shots_of(op);
    struct tdw_op *shot = tdw__memory_get(loop->memory, sizeof *shot);

    assert(shot); /* the one that is being delivered was just put back */
    shot->res = res;
    shot->flags = flags;
    push(&shots->kept, &shots->kept_tail, shot);
}

void tdw__deliver_shot(struct tdw_loop *loop, struct tdw_op *shot)
{
    struct tdw_op *op = (struct tdw_op *)(uintptr_t)shot->sqe.addr;
    struct tdw_shots *shots = shots_of(op);
    struct tdw_task *task = op->task;

    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_DELIVER,
                         .opcode = op->sqe.opcode,
                         .flags = (uint16_t)shot->flags,
                         .actor = task->actor,
                         .ordinal = op->ordinal,
                         .res = shot->res,
                         .op = op,
                         .site = op->site,
                     });
    op->res = shot->res;
    op->flags = shot->flags;
    shots->head = shot->next;
    tdw__memory_put(loop->memory, shot, sizeof *shot);
    tdw__self = task;
    loop->last = task;
    loop->deliveries++;
    if (TDW_LIKELY(!(task->bits & TDW_TASK_ENDED) && !task->ring->ending))
        op->done(op); /* the op is still in flight, unless this was its process's end */
    task->ring->chain = NULL;
    if (shots->head) {
        make_ready(loop, shots->head);
    } else if (shots->ended) {
        shots->ended = false;
        op->res = shots->res;
        op->flags = shots->flags;
        make_ready(loop, op);
    }
    tdw__task_settle(task);
    tdw__self = NULL;
}

/* ── Coroutines: what is delivered and not yet awaited ─────────────────────────────────────── */

void tdw__shots_over(struct tdw_op *op)
{
    struct tdw_shots *shots = shots_of(op);

    shots->over = true;
    if (!shots->kept)
        tdw__shots_drop(op);
}

void tdw__shots_keep(struct tdw_op *op)
{
    keep(op, op->res, op->flags);
}

bool tdw__op_delivered(const struct tdw_op *op)
{
    const struct tdw_shots *shots = shots_of(op);

    return tdw_op_idle(op) || (shots && shots->kept);
}

int tdw__op_take(struct tdw_op *op)
{
    struct tdw_shots *shots = shots_of(op);
    struct tdw_op *shot = shots ? shots->kept : NULL;

    if (!shot)
        return op->res;
    op->res = shot->res;
    op->flags = shot->flags;
    shots->kept = shot->next;
    tdw__memory_put(op->task->ring->loop->memory, shot, sizeof *shot);
    if (shots->over && !shots->kept)
        tdw__shots_drop(op);
    return op->res;
}
