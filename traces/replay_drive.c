/* SPDX-License-Identifier: MIT */
/*
 * The same loop in the three models: let the task go on; where it has to wait, submit its op, wait,
 * and let it go on again.
 */
#include <traces/replay.h>

static void submit(struct replay_task *task)
{
    tdw_submit(&task->op);
    if (task->submitted)
        task->submitted(task);
}

/* ── Callback ──────────────────────────────────────────────────────────────────────────────── */

static void drive_callback(struct replay_task *task);

static void step_done(struct tdw_op *op)
{
    drive_callback(tdw_of(op, struct replay_task, op));
}

static void drive_callback(struct replay_task *task)
{
    if (!task->next(task))
        return;
    task->op.done = step_done;
    submit(task);
}

static void start_callback(void *arg)
{
    drive_callback(arg);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct drive {
    struct tdw_frame frame;
    struct replay_task *task;
    int n;
};

TDW_CO(drive_stackless)
{
    TDW_BEGIN(struct drive, me);
    while (me->task->next(me->task)) {
        me->task->op.done = tdw__go_done;
        submit(me->task);
        TDW_AWAIT_OP(me->n, &me->task->op);
    }
    TDW_RETURN(0);
    TDW_END;
}

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void drive_stackful(void *arg)
{
    struct replay_task *task = arg;

    while (task->next(task)) {
        task->op.done = tdw__go_done;
        submit(task);
        tdw_await(&task->op);
    }
}

void tdw__replay_start(struct replay_task *replay, const char *name, bool daemon)
{
    struct tdw_task *task = NULL;

    switch (replay->model) {
    case TDW_CALLBACK:
        task = tdw_spawn_callback(name, start_callback, replay);
        break;
    case TDW_STACKLESS:
        task = TDW_SPAWN(name, drive_stackless, struct drive, .task = replay);
        break;
    case TDW_STACKFUL:
        task = tdw_spawn_stackful(name, drive_stackful, replay);
        break;
    }
    if (!task)
        return;
    if (daemon)
        tdw_daemon(task);
    tdw_detach(task);
}
