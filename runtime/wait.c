/* SPDX-License-Identifier: MIT */
/*
 * Waiting for ops that were started before (TDW_GO): what both kinds of coroutine share.
 *
 * A waiting task marks the ops that it waits for; the delivery of a marked op counts the task's
 * `waiting` down, and at 0 the task goes on. Unrelated ops of the task are not marked and do not
 * count. Ops that are delivered already are not waited for, without event or choice. Of an op with
 * several completions each await takes one (shot.c).
 */
#include <runtime/runtime.h>
#include <stdio.h>
#include <stdlib.h>

void tdw__own_is_busy(void)
{
    const struct tdw_task *task = tdw__self;
    char path[256];

    tdw_task_path(task, path, sizeof path);
    fprintf(stderr,
            "tidewheel: task %s waits already, at %s:%u; a callback on its behalf must not wait\n",
            path, task->site->file, task->site->line);
    abort();
}

bool tdw__wait_for(struct tdw_op *const ops[], uint32_t count, uint32_t needed,
                   const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    uint32_t delivered = 0;

    for (uint32_t i = 0; i < count; i++)
        delivered += tdw__op_delivered(ops[i]);
    if (delivered >= needed)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        assert(tdw_op_idle(ops[i]) || ops[i]->task == task);
        if (!tdw__op_delivered(ops[i]))
            ops[i]->bits |= TDW_OP_AWAITED;
    }
    task->waiting = needed - delivered;
    task->site = site;
    return true;
}

int tdw__wait_done(struct tdw_op *const ops[], uint32_t count)
{
    int first = -1;

    for (uint32_t i = count; i-- > 0;) {
        ops[i]->bits &= (uint8_t)~TDW_OP_AWAITED;
        if (tdw__op_delivered(ops[i]))
            first = (int)i;
    }
    return first;
}

void tdw__go_done(struct tdw_op *op)
{
    struct tdw_task *task = op->task;

    if (TDW_UNLIKELY(op->bits & TDW_OP_SHOTS))
        tdw__shots_keep(op);
    if (!(op->bits & TDW_OP_AWAITED))
        return;
    op->bits &= (uint8_t)~TDW_OP_AWAITED;
    if (--task->waiting == 0)
        tdw__resume(task);
}
