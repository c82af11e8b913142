/* SPDX-License-Identifier: MIT */
/*
 * Waiting that never reaches a kernel: task start, yield, join, locks, conditions, semaphores,
 * channels, wait groups, tokens.
 *
 * Each waiting form is a private op. It completes inside submit when nothing has to be waited for,
 * or later inside the call that grants it (unlock, post, put, take, end of a task); either way
 * only its delivery is an item. What becomes free is handed to one waiter, named by a choice, and
 * that is an event (acquire): nobody can get in between, and nobody has to try again.
 *
 * An object's queue is linked through the ops themselves, oldest first. Cost: a list operation, or
 * a walk along the queue where a choice names another than the oldest.
 */
#include <runtime/event.h>
#include <tidewheel/loop.h>

/* ── Queues ────────────────────────────────────────────────────────────────────────────────── */

static void *object_of(const struct tdw_op *op)
{
    return (void *)(uintptr_t)op->sqe.addr;
}

static void block(struct tdw_op **queue, struct tdw_op *op)
{
    op->state = TDW_BLOCKED;
    op->next = NULL;
    while (*queue)
        queue = &(*queue)->next;
    *queue = op;
}

static void unlink_op(struct tdw_op **queue, struct tdw_op *op)
{
    while (*queue != op) {
        assert(*queue); /* an object was initialised anew, or freed, while somebody waited for it */
        queue = &(*queue)->next;
    }
    *queue = op->next;
}

/* Who of the waiting is granted `object`: taken out of its queue; NULL if nobody waits. */
static struct tdw_op *next_waiter(struct tdw_sync *object)
{
    struct tdw_op **at = &object->waiters;
    uint32_t count = 0, which;

    for (const struct tdw_op *op = object->waiters; op; op = op->next)
        count++;
    if (count == 0)
        return NULL;
    if (count > 1) {
        struct tdw_loop *loop = object->waiters->task->ring->loop;
        const uint64_t actor = tdw__self ? tdw__self->actor : 0;

        which = tdw__choose(loop, &(struct tdw_choice){
                                      .kind = TDW_CHOOSE_WAITER,
                                      .ordinal = tdw__count(loop, tdw__mix(actor, object->hash)),
                                      .bound = count,
                                      .actor = actor,
                                      .point = object->hash,
                                  });
        for (; which > 0; which--)
            at = &(*at)->next;
    }
    struct tdw_op *op = *at;
    *at = op->next;
    return op;
}

/* `op` gets `object`, by the step of another task. */
static void grant(struct tdw_op *op, const struct tdw_sync *object, int32_t res)
{
    tdw__event(op->task->ring->loop, (struct tdw_event){
                                         .kind = TDW_E_ACQUIRE,
                                         .opcode = op->sqe.opcode,
                                         .actor = op->task->actor,
                                         .ordinal = op->ordinal,
                                         .data = object->hash,
                                         .op = op,
                                     });
    tdw__post(op, res, 0, 0);
}

static void object_init(struct tdw_sync *object, const char *name)
{
    *object = (struct tdw_sync){.name = name, .hash = tdw__hash_text(name)};
}

/* ── Tasks ─────────────────────────────────────────────────────────────────────────────────── */

static void join_start(struct tdw_op *op)
{
    struct tdw_task *task = object_of(op);

    if (task->bits & TDW_TASK_ENDED) {
        const int32_t result = (int32_t)task->result;

        tdw__post(op, result, 0, 0);
        tdw_detach(task);
    } else {
        block(&task->joiners, op);
    }
}

void tdw__joiners_wake(struct tdw_task *task)
{
    while (task->joiners) {
        struct tdw_op *op = task->joiners;

        task->joiners = op->next;
        tdw__post(op, (int32_t)task->result, 0, 0);
    }
}

/* ── Mutex and condition ───────────────────────────────────────────────────────────────────── */

/* The op wants the mutex: now, or when its turn comes. It completes with op->res. */
static void want_mutex(struct tdw_op *op, struct tdw_mutex *mutex)
{
    if (mutex->owner) {
        block(&mutex->object.waiters, op);
        return;
    }
    mutex->owner = op->task;
    tdw__post(op, op->res, 0, 0);
}

static void release_mutex(struct tdw_mutex *mutex)
{
    struct tdw_op *op = next_waiter(&mutex->object);

    mutex->owner = op ? op->task : NULL;
    if (op)
        grant(op, &mutex->object, op->res);
}

static struct tdw_mutex *mutex_of_wait(const struct tdw_op *op)
{
    return (struct tdw_mutex *)(uintptr_t)op->sqe.off;
}

static void cond_start(struct tdw_op *op)
{
    struct tdw_mutex *mutex = mutex_of_wait(op);
    struct tdw_cond *cond = object_of(op);

    assert(mutex->owner == op->task); /* wait for a condition with its mutex held */
    block(&cond->object.waiters, op);
    release_mutex(mutex);
}

/* Signalled, or cancelled: from the condition's queue to the mutex. */
static void cond_go_on(struct tdw_op *op, int32_t res)
{
    op->res = res;
    op->bits |= TDW_OP_SIGNALLED;
    op->state = TDW_HELD;
    want_mutex(op, mutex_of_wait(op));
}

void tdw_mutex_init(struct tdw_mutex *mutex, const char *name)
{
    object_init(&mutex->object, name);
    mutex->owner = NULL;
}

bool tdw_mutex_trylock(struct tdw_mutex *mutex)
{
    if (mutex->owner)
        return false;
    mutex->owner = tdw__self;
    return true;
}

void tdw_mutex_unlock(struct tdw_mutex *mutex)
{
    assert(mutex->owner == tdw__self); /* only the owner unlocks */
    release_mutex(mutex);
}

void tdw_cond_init(struct tdw_cond *cond, const char *name)
{
    object_init(&cond->object, name);
}

void tdw_cond_signal(struct tdw_cond *cond)
{
    struct tdw_op *op = next_waiter(&cond->object);

    if (op)
        cond_go_on(op, 0);
}

void tdw_cond_broadcast(struct tdw_cond *cond)
{
    struct tdw_op *op = cond->object.waiters;

    cond->object.waiters = NULL;
    while (op) {
        struct tdw_op *next = op->next;

        cond_go_on(op, 0);
        op = next;
    }
}

/* ── Semaphore, wait group, token ──────────────────────────────────────────────────────────── */

void tdw_sem_init(struct tdw_sem *sem, const char *name, uint32_t count)
{
    object_init(&sem->object, name);
    sem->count = count;
}

bool tdw_sem_trytake(struct tdw_sem *sem)
{
    if (sem->count == 0)
        return false;
    sem->count--;
    return true;
}

void tdw_sem_post(struct tdw_sem *sem)
{
    struct tdw_op *op = next_waiter(&sem->object);

    if (op)
        grant(op, &sem->object, 0);
    else
        sem->count++;
}

static void sem_start(struct tdw_op *op)
{
    struct tdw_sem *sem = object_of(op);

    if (tdw_sem_trytake(sem))
        tdw__post(op, 0, 0, 0);
    else
        block(&sem->object.waiters, op);
}

/* Everybody who waits for `object` goes on. */
static void wake_all(struct tdw_sync *object)
{
    struct tdw_op *op = object->waiters;

    object->waiters = NULL;
    while (op) {
        struct tdw_op *next = op->next;

        grant(op, object, 0);
        op = next;
    }
}

void tdw_wg_init(struct tdw_wg *wg, const char *name)
{
    object_init(&wg->object, name);
    wg->left = 0;
}

void tdw_wg_add(struct tdw_wg *wg, uint32_t count)
{
    wg->left += count;
}

void tdw_wg_done(struct tdw_wg *wg)
{
    if (wg->left == 0) {
        tdw__finding(tdw_loop(), tdw__self, NULL, "%s: more were done than were added",
                     wg->object.name);
        return;
    }
    if (--wg->left == 0)
        wake_all(&wg->object);
}

void tdw_token_init(struct tdw_token *token, const char *name)
{
    object_init(&token->object, name);
    token->cancelled = false;
}

void tdw_token_cancel(struct tdw_token *token)
{
    token->cancelled = true;
    wake_all(&token->object);
}

/* ── Channel ───────────────────────────────────────────────────────────────────────────────── */

void tdw_chan_init(struct tdw_chan *chan, const char *name, void **items, uint32_t capacity)
{
    object_init(&chan->object, name);
    object_init(&chan->full, name);
    chan->items = items;
    chan->capacity = capacity;
    chan->head = chan->count = 0;
    chan->closed = false;
    chan->server = NULL;
}

void tdw_chan_clear(struct tdw_chan *chan)
{
    chan->head = chan->count = 0;
}

void tdw_chan_serve(struct tdw_chan *chan)
{
    chan->server = tdw__self->ring;
    tdw__self->ring->serves = true;
}

/* Will nobody ever be at the other end of what `task` puts or takes? */
static bool is_dead(const struct tdw_chan *chan, const struct tdw_task *task)
{
    return chan->server && chan->server != task->ring && chan->server->dead;
}

static void *item_of(const struct tdw_op *put)
{
    return (void *)(uintptr_t)put->sqe.off;
}

static void store(const struct tdw_op *take, void *item)
{
    *(void **)(uintptr_t)take->sqe.off = item;
}

/* 0 and the item is in the channel or with a taker, or -EAGAIN, -EPIPE. */
static int put_item(struct tdw_chan *chan, const struct tdw_task *task, void *item)
{
    struct tdw_op *taker;

    if (chan->closed || is_dead(chan, task))
        return -EPIPE;
    taker = next_waiter(&chan->object);
    if (taker) {
        store(taker, item);
        grant(taker, &chan->object, 0);
        return 0;
    }
    if (chan->count == chan->capacity)
        return -EAGAIN;
    chan->items[(chan->head + chan->count++) % chan->capacity] = item;
    return 0;
}

/* 0 and *item, or -EAGAIN, -EPIPE. Room that becomes free goes to a blocked putter. */
static int take_item(struct tdw_chan *chan, const struct tdw_task *task, void **item)
{
    struct tdw_op *putter = NULL;

    if (chan->count > 0 || chan->full.waiters)
        putter = next_waiter(&chan->full);
    if (chan->count > 0) {
        *item = chan->items[chan->head];
        chan->head = (chan->head + 1) % chan->capacity;
        chan->count--;
        if (putter)
            chan->items[(chan->head + chan->count++) % chan->capacity] = item_of(putter);
    } else if (putter) {
        *item = item_of(putter);
    } else {
        return chan->closed || is_dead(chan, task) ? -EPIPE : -EAGAIN;
    }
    if (putter)
        grant(putter, &chan->full, 0);
    return 0;
}

static void put_start(struct tdw_op *op)
{
    struct tdw_chan *chan = object_of(op);
    const int ret = put_item(chan, op->task, item_of(op));

    if (ret == -EAGAIN)
        block(&chan->full.waiters, op);
    else
        tdw__post(op, ret, 0, 0);
}

static void take_start(struct tdw_op *op)
{
    struct tdw_chan *chan = object_of(op);
    void *item;
    const int ret = take_item(chan, op->task, &item);

    if (ret == -EAGAIN) {
        block(&chan->object.waiters, op);
        return;
    }
    if (ret == 0)
        store(op, item);
    tdw__post(op, ret, 0, 0);
}

int tdw_chan_tryput(struct tdw_chan *chan, void *item)
{
    return put_item(chan, tdw__self, item);
}

int tdw_chan_trytake(struct tdw_chan *chan, void **item)
{
    return take_item(chan, tdw__self, item);
}

static void fail_all(struct tdw_op **queue)
{
    while (*queue) {
        struct tdw_op *op = *queue;

        *queue = op->next;
        tdw__post(op, -EPIPE, 0, 0);
    }
}

void tdw_chan_close(struct tdw_chan *chan)
{
    chan->closed = true;
    fail_all(&chan->full.waiters);
    fail_all(&chan->object.waiters); /* nobody waits to take while something is left */
}

void tdw__channels_orphan(struct tdw_loop *loop, const struct tdw_ring *dead)
{
    for (struct tdw_ring *ring = dead->serves ? loop->rings : NULL; ring; ring = ring->next) {
        for (uint32_t i = 0; ring != dead && i < ring->slots_used; i++) {
            struct tdw_op *op = ring->slots[i].op;

            if (!op || op->state != TDW_BLOCKED ||
                (op->sqe.opcode != TDW_OP_PUT && op->sqe.opcode != TDW_OP_TAKE) ||
                ((struct tdw_chan *)object_of(op))->server != dead)
                continue;
            tdw__private_withdraw(op);
            tdw__post(op, -EPIPE, 0, 0);
        }
    }
}

/* ── Wakes by other threads ────────────────────────────────────────────────────────────────── */

static void wake_start(struct tdw_op *op)
{
    struct tdw_loop *loop = op->task->ring->loop;
    const uint32_t wakes = loop->wakes;

    op->sqe.addr = (uintptr_t)&loop->wakers; /* where a cancellation finds it */
    if (wakes == 0) {
        block(&loop->wakers.waiters, op);
        return;
    }
    loop->wakes = 0;
    tdw__post(op, (int32_t)(wakes & INT32_MAX), 0, 0);
}

void tdw__wakes(struct tdw_loop *loop, uint32_t count)
{
    struct tdw_op *op = loop->wakers.waiters;

    if (!op) {
        loop->wakes += count;
        return;
    }
    loop->wakers.waiters = NULL; /* whoever waits again from now on waits for the next */
    while (op) {
        struct tdw_op *next = op->next;

        tdw__post(op, (int32_t)(count & INT32_MAX), 0, 0);
        op = next;
    }
}

void tdw_ring_wake(struct tdw_loop *loop)
{
    loop->backend->wake(loop);
}

/* ── Start, cancel, withdraw: by opcode ────────────────────────────────────────────────────── */

void tdw__private_start(struct tdw_ring *ring, struct tdw_op *op)
{
    (void)ring;
    op->res = 0;
    switch (op->sqe.opcode) {
    case TDW_OP_START:
    case TDW_OP_YIELD:
        tdw__post(op, 0, 0, 0);
        return;
    case TDW_OP_LOCK:
        want_mutex(op, object_of(op));
        return;
    }
    if (op->task->bits & TDW_TASK_STOPPING && op->sqe.opcode != TDW_OP_JOIN) {
        tdw__post(op, -ECANCELED, 0, 0);
        return;
    }
    switch (op->sqe.opcode) {
    case TDW_OP_JOIN:
        join_start(op);
        return;
    case TDW_OP_COND_WAIT:
        cond_start(op);
        return;
    case TDW_OP_SEM_TAKE:
        sem_start(op);
        return;
    case TDW_OP_PUT:
        put_start(op);
        return;
    case TDW_OP_TAKE:
        take_start(op);
        return;
    case TDW_OP_WG_WAIT:
        if (((struct tdw_wg *)object_of(op))->left == 0)
            tdw__post(op, 0, 0, 0);
        else
            block(&((struct tdw_wg *)object_of(op))->object.waiters, op);
        return;
    case TDW_OP_TOKEN:
        if (((struct tdw_token *)object_of(op))->cancelled)
            tdw__post(op, 0, 0, 0);
        else
            block(&((struct tdw_token *)object_of(op))->object.waiters, op);
        return;
    case TDW_OP_WAKE:
        wake_start(op);
        return;
    default:
        tdw__post(op, -EINVAL, 0, 0);
    }
}

void tdw__private_withdraw(struct tdw_op *op)
{
    struct tdw_op **queue;

    switch (op->sqe.opcode) {
    case TDW_OP_JOIN:
        queue = &((struct tdw_task *)object_of(op))->joiners;
        break;
    case TDW_OP_PUT:
        queue = &((struct tdw_chan *)object_of(op))->full.waiters;
        break;
    case TDW_OP_COND_WAIT:
        queue = op->bits & TDW_OP_SIGNALLED ? &mutex_of_wait(op)->object.waiters
                                            : &((struct tdw_cond *)object_of(op))->object.waiters;
        break;
    default: /* all others begin with their object */
        queue = &((struct tdw_sync *)object_of(op))->waiters;
    }
    unlink_op(queue, op);
}

int tdw__private_cancel(struct tdw_op *op, int32_t res)
{
    if (op->sqe.opcode != TDW_OP_COND_WAIT) {
        tdw__private_withdraw(op);
        tdw__post(op, res, 0, 0);
        return 0;
    }
    if (op->bits & TDW_OP_SIGNALLED)
        return -EALREADY; /* it was signalled, and will be told so when it holds the mutex */
    tdw__private_withdraw(op);
    cond_go_on(op, res);
    return 0;
}
