/* SPDX-License-Identifier: MIT */
/*
 * Model: stackful coroutines. A pause switches to the loop's stack, a resume switches back.
 *
 *     loop ── resume: tdw__switch(&loop->main_sp, task->where) ──▶ task
 *     loop ◀── pause: tdw__switch(&task->where, loop->main_sp) ── task
 *
 * `task->where` is the suspended stack; NULL when the function has returned. The last switch of a
 * task leaves its stack for good: it is given back afterwards, from the loop's stack (settle).
 */
#include <runtime/runtime.h>
#include <runtime/stack.h>
#include <runtime/switch.h>

/* On the loop's stack: run `task` until it waits or ends. The stack's own header is touched only
 * for a sanitizer: it would be one more cache line for each switch. */
static void run(struct tdw_task *task)
{
    struct tdw_loop *loop = task->ring->loop;
    void *fake = NULL;

    loop->switches += 2;
    tdw__fiber_leave(&fake, task->stack);
    tdw__switch(&loop->main_sp, task->where);
    tdw__fiber_arrive_loop(fake);
}

void tdw__pause(struct tdw_task *task)
{
    void *fake = NULL;

    tdw__fiber_leave_task(&fake, task->stack);
    tdw__switch(&task->where, task->ring->loop->main_sp);
    tdw__fiber_arrive(fake, task->stack);
}

/* The first function on a task's stack; it leaves the stack for good. */
static void first(void *arg)
{
    struct tdw_task *task = arg;
    void *entry_arg = task->arg, *nowhere;

    tdw__fiber_arrive(NULL, task->stack);
    task->result = 0;
    task->entry(entry_arg);
    task->where = NULL;
    tdw__fiber_leave_task(NULL, task->stack);
    tdw__switch(&nowhere, task->ring->loop->main_sp);
    __builtin_unreachable();
}

void tdw__stackful_start(struct tdw_op *op)
{
    struct tdw_task *task = op->task;
    struct tdw_stack *stack = task->stack;

    task->where = tdw__switch_prepare(stack->base, stack->bytes, first, task);
    run(task);
}

static void stackful_resume(struct tdw_op *op)
{
    run(op->task);
}

void tdw__resume(struct tdw_task *task)
{
    if (task->model == TDW_STACKFUL)
        run(task);
    else
        tdw__stackless_start(&task->op);
}

void tdw__stackful_drop(struct tdw_task *task)
{
    if (task->stack)
        tdw__stack_put(task->ring->loop->stacks, task->stack);
    task->stack = NULL;
    task->where = NULL;
}

/* ── Waits ─────────────────────────────────────────────────────────────────────────────────── */

int tdw__await_own(const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    int ret;

    assert(task->model == TDW_STACKFUL);
    task->site = site;
    task->op.done = stackful_resume;
    ret = tdw__submit(&task->op, site);
    if (TDW_UNLIKELY(ret < 0))
        return ret;
    tdw__pause(task);
    return task->op.res;
}

int tdw__await_own_within(uint64_t ns, const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    struct tdw_op timer = {0};
    int ret;

    assert(task->model == TDW_STACKFUL);
    if (!tdw__has_room(2))
        return -EAGAIN;
    task->site = site;
    task->op.done = stackful_resume;
    task->op.sqe.flags |= IOSQE_IO_LINK;
    ret = tdw__submit(&task->op, site);
    if (TDW_UNLIKELY(ret < 0))
        return ret;
    tdw__within(&timer, ns, site, 0);
    tdw__pause(task); /* the timer is idle when the op is delivered */
    return task->op.res;
}

int tdw_await(struct tdw_op *op)
{
    struct tdw_op *const ops[] = {op};

    if (tdw__wait_for(ops, 1, 1, op->site))
        tdw__pause(tdw__self);
    return tdw__op_take(op);
}

int tdw_await_all(struct tdw_op *const ops[], uint32_t count)
{
    if (count > 0 && tdw__wait_for(ops, count, count, ops[0]->site))
        tdw__pause(tdw__self);
    return 0;
}

int tdw_await_any(struct tdw_op *const ops[], uint32_t count)
{
    if (tdw__wait_for(ops, count, 1, ops[0]->site))
        tdw__pause(tdw__self);
    return tdw__wait_done(ops, count);
}
