/* SPDX-License-Identifier: MIT */
/*
 * The loop: the one place that knows all stages.
 *
 *     while somebody is alive:
 *         1. next:     the backend names the item that comes next; it moves the time, or waits
 *         2. deliver:  if it is complete, hand it to whoever waits (callback, frame or stack)
 *            step:     if not, let the backend go on with it (effect, complete)
 *
 * There is no other place from which user code is called; so there is no recursion, and the order
 * of everything is visible here. When the last task that is not a daemon has ended, the daemons
 * are told to stop, and the loop goes on until they have.
 */
#include <runtime/event.h>
#include <stdio.h>
#include <stdlib.h>

_Thread_local struct tdw_task *tdw__self __attribute__((tls_model("initial-exec")));

int tdw__loop_init(struct tdw_loop *loop, const struct tdw_backend_ops *backend)
{
    *loop = (struct tdw_loop){
        .backend = backend,
        .names = tdw__names_new(),
        .memory = tdw__memory_new(),
        .steps_max = UINT64_MAX,
        .stack_bytes = TDW_STACK_BYTES,
    };
    if (loop->names && loop->memory)
        return 0;
    tdw__loop_fini(loop);
    return -ENOMEM;
}

void tdw__loop_fini(struct tdw_loop *loop)
{
    if (loop->promises)
        loop->promises_free(loop);
    tdw__stacks_free(loop->stacks);
    tdw__memory_free(loop->memory);
    tdw__names_free(loop->names);
    free(loop->ready.items);
}

static inline bool step(struct tdw_loop *loop, uint64_t deadline_ns)
{
    struct tdw_op *op = loop->backend->next(loop, deadline_ns);

    if (TDW_UNLIKELY(!op))
        return false;
    loop->steps++;
    if (op->state == TDW_POSTED)
        tdw__deliver(loop, op);
    else
        loop->backend->step(loop, op);
    return true;
}

bool tdw__loop_step(struct tdw_loop *loop, uint64_t deadline_ns)
{
    return step(loop, deadline_ns);
}

/* Steps until nobody is alive who counts, or somebody said stop. */
static int run_until_ended(struct tdw_loop *loop)
{
    while (loop->tasks_alive > 0 && !loop->stop) {
        if (TDW_UNLIKELY(!step(loop, TDW_NEVER)))
            return -EDEADLK;
        if (TDW_UNLIKELY(loop->steps >= loop->steps_max))
            return -ELOOP;
    }
    return 0;
}

/* Tell the daemons to stop; true if there are any. */
static bool stop_daemons(struct tdw_loop *loop)
{
    bool any = false;

    for (struct tdw_ring *ring = loop->rings; ring; ring = ring->next) {
        for (struct tdw_task *task = ring->tasks; task; task = task->next) {
            if ((task->bits & TDW_TASK_DAEMON) && !(task->bits & TDW_TASK_ENDED)) {
                task->bits &= (uint8_t)~TDW_TASK_DAEMON; /* from now on it keeps the run alive */
                loop->tasks_alive++;
                tdw_stop(task);
                any = true;
            }
        }
    }
    return any;
}

int tdw_loop_run(struct tdw_loop *loop)
{
    struct tdw_task *self = tdw__self;
    int ret = loop->backend->enter ? loop->backend->enter(loop) : 0;

    if (ret < 0)
        return ret;
    ret = run_until_ended(loop);

    while (ret == 0 && !loop->stop && stop_daemons(loop)) {
        ret = run_until_ended(loop);
        if (ret == -EDEADLK)
            ret = -EOWNERDEAD;
    }
    tdw__self = self;
    return ret;
}

int tdw_loop_wait(struct tdw_loop *loop, uint64_t deadline_ns)
{
    struct tdw_task *self = tdw__self;
    const uint64_t before = loop->deliveries;
    const int ret = loop->backend->enter ? loop->backend->enter(loop) : 0;

    if (ret < 0)
        return ret;
    while (tdw__loop_step(loop, deadline_ns))
        ;
    tdw__self = self;
    return (int)(loop->deliveries - before);
}

int tdw_loop_poll(struct tdw_loop *loop)
{
    return tdw_loop_wait(loop, loop->now_ns);
}

struct tdw_loop *tdw_loop(void)
{
    return tdw__self ? tdw__self->ring->loop : NULL;
}

uint64_t tdw_now(void)
{
    struct tdw_loop *loop = tdw__self->ring->loop;

    if (TDW_UNLIKELY(loop->late))
        loop->backend->clock(loop);
    return loop->now_ns;
}

/* ── Who waits ─────────────────────────────────────────────────────────────────────────────── */

static const char *state_name(uint8_t state)
{
    static const char *const names[] = {
        [TDW_IDLE] = "idle",       [TDW_HELD] = "held",         [TDW_BLOCKED] = "blocked",
        [TDW_PENDING] = "pending", [TDW_EFFECTED] = "effected", [TDW_POSTED] = "complete",
    };

    return names[state];
}

static void describe(const struct tdw_op *op, char *text, size_t bytes)
{
    const struct tdw_opcode *row = tdw_opcode(op->sqe.opcode);
    const bool named = row->addr == TDW_W_OBJECT;
    const struct tdw_sync *object = (const struct tdw_sync *)(uintptr_t)op->sqe.addr;
    char path[256];

    tdw_task_path(op->task, path, sizeof path);
    snprintf(text, bytes, "%s waits for %s%s%s (%s) at %s:%u", path, row->name, named ? " of " : "",
             named ? object->name : "", state_name(op->state), op->site->file, op->site->line);
}

void tdw_loop_waiters(struct tdw_loop *loop, void (*line)(void *out, const char *text), void *out)
{
    for (const struct tdw_ring *ring = loop->rings; ring; ring = ring->next) {
        for (uint32_t i = 0; i < ring->slots_used; i++) {
            char text[512];

            if (!ring->slots[i].op)
                continue;
            describe(ring->slots[i].op, text, sizeof text);
            line(out, text);
        }
    }
}
