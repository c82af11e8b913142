/* SPDX-License-Identifier: MIT */
/*
 * The same loop in the three models: let the thread go on; where it has to wait, submit its op,
 * wait, and let it go on again.
 */
#include <traces/replay.h>

/* ── Callback ──────────────────────────────────────────────────────────────────────────────── */

static void drive_callback(struct replay_thread *thread);

static void step_done(struct tdw_op *op)
{
    drive_callback(tdw_of(op, struct replay_thread, op));
}

static void drive_callback(struct replay_thread *thread)
{
    if (!tdw__replay_next(thread))
        return;
    thread->op.done = step_done;
    tdw_submit(&thread->op);
    tdw__replay_submitted(thread);
}

static void start_callback(void *arg)
{
    drive_callback(arg);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct drive {
    struct tdw_frame frame;
    struct replay_thread *thread;
    int n;
};

TDW_CO(drive_stackless)
{
    TDW_BEGIN(struct drive, me);
    while (tdw__replay_next(me->thread)) {
        me->thread->op.done = tdw__go_done;
        tdw_submit(&me->thread->op);
        tdw__replay_submitted(me->thread);
        TDW_AWAIT_OP(me->n, &me->thread->op);
    }
    TDW_RETURN(0);
    TDW_END;
}

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void drive_stackful(void *arg)
{
    struct replay_thread *thread = arg;

    while (tdw__replay_next(thread)) {
        thread->op.done = tdw__go_done;
        tdw_submit(&thread->op);
        tdw__replay_submitted(thread);
        tdw_await(&thread->op);
    }
}

void tdw__replay_start(struct replay_thread *thread)
{
    struct tdw_task *task = NULL;

    switch (thread->replay->model) {
    case TDW_CALLBACK:
        task = tdw_spawn_callback("thread", start_callback, thread);
        break;
    case TDW_STACKLESS:
        task = TDW_SPAWN("thread", drive_stackless, struct drive, .thread = thread);
        break;
    case TDW_STACKFUL:
        task = tdw_spawn_stackful("thread", drive_stackful, thread);
        break;
    }
    if (task)
        tdw_detach(task);
}
