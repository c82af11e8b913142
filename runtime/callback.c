/* SPDX-License-Identifier: MIT */
/*
 * Model: callbacks. A pause is a return to the loop; a resume is a call of `done`.
 *
 * All state lives in the struct around the op, so there is nothing to keep here but the start of a
 * task, and groups of ops with one continuation.
 */
#include <runtime/runtime.h>

void tdw__callback_start(struct tdw_op *op)
{
    struct tdw_task *task = op->task;
    void *arg = task->arg;

    task->result = 0;
    task->entry(arg);
}

void tdw__member_done(struct tdw_op *op)
{
    struct tdw_group *group = tdw_of(op, struct tdw_member, op)->group;

    if (--group->left == 0)
        group->done(group);
}
