/* SPDX-License-Identifier: MIT */
/*
 * Model: stackless coroutines. A pause stores a label in the frame and returns; a resume calls the
 * innermost frame's function, which jumps there.
 *
 * `task->where` is the innermost frame. A call pushes a frame and a return pops one; both answer
 * TDW_RUN, and the small loop below calls whichever is innermost then. So nested calls use no
 * stack, and a resume costs one indirect call however deep the nesting is.
 */
#include <runtime/runtime.h>
#include <stdio.h>
#include <stdlib.h>

static void go_on(struct tdw_task *task)
{
    struct tdw_frame *frame = task->where;

    while (frame && frame->step(frame) == TDW_RUN)
        frame = task->where;
}

void tdw__stackless_start(struct tdw_op *op)
{
    go_on(op->task);
}

static void stackless_resume(struct tdw_op *op)
{
    go_on(op->task);
}

static struct tdw_frame *frame_new(struct tdw_loop *loop, tdw_step_fn *step, size_t bytes)
{
    struct tdw_frame *frame = tdw__memory_get(loop->memory, bytes);

    if (frame) {
        frame->step = step;
        frame->bytes = (uint32_t)bytes;
        loop->frames++;
    }
    return frame;
}

struct tdw_task *tdw__spawn_stackless(const char *name, tdw_step_fn *step, size_t bytes,
                                      const struct tdw_site *site)
{
    struct tdw_ring *ring = tdw__self->ring;
    struct tdw_frame *frame;
    struct tdw_task *task;

    if (ring->inflight == ring->ops_max) {
        errno = EAGAIN;
        return NULL;
    }
    frame = frame_new(ring->loop, step, bytes);
    if (!frame) {
        errno = ENOMEM;
        return NULL;
    }
    task = tdw__task_new(ring, tdw__self, TDW_STACKLESS, name, site);
    if (!task) {
        tdw__memory_put(ring->loop->memory, frame, bytes);
        errno = ENOMEM;
        return NULL;
    }
    task->where = frame;
    tdw__task_start(task, site);
    return task;
}

void *tdw__frame_push(struct tdw_frame *caller, tdw_step_fn *step, size_t bytes)
{
    struct tdw_task *task = tdw__self;
    struct tdw_frame *frame = frame_new(task->ring->loop, step, bytes);

    if (frame) {
        frame->up = caller;
        task->where = frame;
    }
    return frame;
}

void tdw__frame_pop(struct tdw_frame *frame, int64_t value)
{
    struct tdw_task *task = tdw__self;

    task->where = frame->up;
    if (frame->up)
        frame->up->ret = value;
    else
        task->result = value;
    tdw__memory_put(task->ring->loop->memory, frame, frame->bytes);
}

void tdw__fell_off(const struct tdw_frame *frame)
{
    char path[256];

    tdw_task_path(tdw__self, path, sizeof path);
    fprintf(stderr,
            "tidewheel: task %s: a stackless function (resumed at %d) reached TDW_END; "
            "end it with TDW_RETURN\n",
            path, frame->at);
    abort();
}

/* The task's own op is filled: submit it. True: wait; false: it was refused, res says why. */
static bool submit_own(struct tdw_task *task, int ret)
{
    if (TDW_UNLIKELY(ret < 0))
        task->op.res = ret;
    return ret >= 0;
}

bool tdw__stackless_submit(const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;

    task->site = site;
    task->op.done = stackless_resume;
    return submit_own(task, tdw__submit(&task->op, site));
}

bool tdw__stackless_submit_within(struct tdw_op *timer, uint64_t ns, const struct tdw_site *site)
{
    struct tdw_task *task = tdw__self;
    const int refused = !tdw_op_idle(timer) ? tdw__refuse_busy(timer, site)
                        : !tdw__has_room(2) ? -EAGAIN
                                            : 0;

    if (refused < 0)
        return submit_own(task, refused);
    task->op.sqe.flags |= IOSQE_IO_LINK;
    if (!tdw__stackless_submit(site))
        return false;
    tdw__within(timer, ns, site, 0);
    return true;
}

void tdw__stackless_drop(struct tdw_task *task)
{
    struct tdw_frame *up;

    for (struct tdw_frame *frame = task->where; frame; frame = up) {
        up = frame->up;
        tdw__memory_put(task->ring->loop->memory, frame, frame->bytes);
    }
    task->where = NULL;
}
