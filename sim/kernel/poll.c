/* SPDX-License-Identifier: MIT */
/*
 * POLL_ADD, one-shot: waits until an open file is ready for what was asked, and says for what.
 *
 * A kind that tells its readiness also names the queue in which its pollers wait; each change
 * wakes them, and they look again. Regular files, directories and devices are always ready.
 * Errors and hang-ups are reported whether asked for or not. Multishot and updates are -EINVAL.
 */
#include <sim/kernel/vfs.h>
#include <poll.h>

enum { ALWAYS_READY = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM };

static uint32_t ready(const struct tdw_op *op, const struct tdw_file *file)
{
    const uint32_t now = file->kind->ready ? file->kind->ready(file) : ALWAYS_READY;

    return now & (op->sqe.poll32_events | POLLERR | POLLHUP);
}

static int start_poll(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct tdw_file *file = tdw__op_file(process, op);

    if (op->sqe.len || op->sqe.off || op->sqe.addr || op->sqe.buf_index)
        return -EINVAL;
    if (file && !file->kind->ready_queue && !ready(op, file))
        return -EINVAL; /* it would never be ready for that */
    return tdw__start_fd(process, op, object);
}

static struct tdw_waitq *blocked_poll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;

    (void)process;
    return ready(op, file) ? NULL : file->kind->ready_queue(file);
}

static int32_t effect_poll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return (int32_t)ready(op, object);
}

const struct tdw_sim_opcode tdw__row_poll_add = {start_poll, blocked_poll, effect_poll,
                                                 tdw__release_fd, false};
