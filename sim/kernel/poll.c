/* SPDX-License-Identifier: MIT */
/*
 * POLL_ADD, once or multishot, POLL_REMOVE with its updates, and PPOLL: waiting until an open file
 * is ready for what was asked, and saying for what.
 *
 * A kind that tells its readiness also names the queue in which its pollers wait; each change
 * wakes them, and they look again. Regular files, directories and devices are always ready.
 * Errors and hang-ups, also of the other side alone (POLLRDHUP), are reported whether asked for or
 * not; PPOLL reports the latter only if it was asked for.
 *
 * A multishot poll tells of changes (edges): it completes when it is ready at its start, and then
 * again with each wake that finds it ready. A poll that a wake found ready completes, even if
 * somebody else was quicker to take what there was, as on Linux: it says what is ready when it
 * completes, or what was at the wake if nothing is. PPOLL looks at all of its files after each wake
 * of any. An op's user_data is the runtime's and cannot be updated; that of a program's own entry
 * can.
 */
#include <sim/kernel/vfs.h>
#include <sim/kernel/wait.h>
#include <poll.h>

enum {
    ALWAYS_READY = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM,
    UNASKED = POLLERR | POLLHUP | POLLRDHUP, /* what is told whether asked for or not */
};

uint32_t tdw__ready(const struct tdw_file *file)
{
    return file->kind->ready ? file->kind->ready(file) : ALWAYS_READY;
}

static uint32_t ready(const struct tdw_op *op, const struct tdw_file *file)
{
    return tdw__ready(file) & (op->sqe.poll32_events | UNASKED);
}

/* What the wake that lets the poll go on found it ready for: in a word of its entry that means
 * nothing to polls. */
static __u64 *told(struct tdw_op *op)
{
    return &op->sqe.addr3;
}

bool tdw__poll_woken(struct tdw_op *op, const struct tdw_file *file, uint32_t events)
{
    if (!(events & (op->sqe.poll32_events | UNASKED)))
        return false;
    *told(op) = ready(op, file) & events;
    return true;
}

/* ── POLL_ADD ──────────────────────────────────────────────────────────────────────────────── */

static bool is_multishot(const struct tdw_op *op)
{
    return op->sqe.len & IORING_POLL_ADD_MULTI;
}

static int start_poll(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct tdw_file *file = tdw__op_file(process, op);

    if (sqe->len & ~IORING_POLL_ADD_MULTI || sqe->off || sqe->addr || sqe->buf_index)
        return -EINVAL;
    if (is_multishot(op) && sqe->flags & IOSQE_CQE_SKIP_SUCCESS)
        return -EINVAL;
    if (file && !file->kind->ready_queue && !ready(op, file))
        return -EINVAL; /* it would never be ready for that */
    *told(op) = 0;
    return tdw__start_fd(process, op, object);
}

static struct tdw_waitq *blocked_poll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;

    (void)process;
    if (op->state == TDW_BLOCKED) /* only its queue is asked for */
        return file->kind->ready_queue(file);
    return *told(op) || ready(op, file) ? NULL : file->kind->ready_queue(file);
}

static int32_t effect_poll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_file *file = object;
    const uint32_t now = ready(op, file);
    const int32_t mask = (int32_t)(now ? now : *told(op));

    (void)process;
    *told(op) = 0;
    if (!is_multishot(op) || !file->kind->ready_queue)
        return mask;
    return tdw__post_more(op, mask, 0, 0) ? TDW_WAITS : mask;
}

/* ── POLL_REMOVE ───────────────────────────────────────────────────────────────────────────── */

static int start_remove(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint32_t known =
        IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA | IORING_POLL_ADD_MULTI;

    (void)process, (void)object;
    if (sqe->buf_index || sqe->splice_fd_in || sqe->len & ~known)
        return -EINVAL;
    if (sqe->len == IORING_POLL_ADD_MULTI) /* means nothing without an update */
        return -EINVAL;
    if (sqe->len & IORING_POLL_UPDATE_USER_DATA ? !(op->bits & TDW_OP_FOREIGN) : sqe->off != 0)
        return -EINVAL;
    return !(sqe->len & IORING_POLL_UPDATE_EVENTS) && sqe->poll32_events ? -EINVAL : 0;
}

static int32_t effect_remove(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_op *target = tdw__target(op, op->sqe.addr);

    (void)process, (void)object;
    if (!target || target->sqe.opcode != IORING_OP_POLL_ADD || target->state == TDW_POSTED)
        return -ENOENT;
    if (!(op->sqe.len & (IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA)))
        return tdw__cancel(target, -ECANCELED, NULL);
    if (target->state != TDW_BLOCKED)
        return -EALREADY; /* it was just woken, and ends or goes on by itself */
    if (op->sqe.len & IORING_POLL_UPDATE_USER_DATA)
        tdw_of(target, struct tdw_foreign, op)->user_data = op->sqe.off;
    if (op->sqe.len & IORING_POLL_UPDATE_EVENTS) /* once or multishot stays as it was */
        target->sqe.poll32_events = op->sqe.poll32_events;
    tdw__wake_op(target);
    return 0;
}

const struct tdw_sim_opcode tdw__row_poll_add = {start_poll, blocked_poll, effect_poll,
                                                 tdw__release_fd, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_poll_remove = {.start = start_remove, .effect = effect_remove};

/* ── PPOLL ─────────────────────────────────────────────────────────────────────────────────── */

struct polled {
    struct tdw_watch watch;
    struct ppoll *all;
    struct tdw_file *file; /* NULL: the descriptor is negative, or not open */
    uint32_t events;
    bool watched;
};

struct ppoll {
    struct tdw_wait wait;
    size_t bytes; /* of this */
    uint32_t count;
    struct polled fds[];
};

static bool woken(struct tdw_watch *watch, uint32_t events)
{
    struct polled *one = tdw_of(watch, struct polled, watch);

    if (!(events & (one->events | POLLERR | POLLHUP)))
        return false;
    tdw__wake(&one->all->wait.queue);
    return true;
}

/* What has come of an entry: its file's readiness, or that it is no descriptor. */
static short answer(const struct polled *one, const struct pollfd *fd)
{
    if (fd->fd < 0)
        return 0;
    if (!one->file)
        return POLLNVAL;
    return (short)(tdw__ready(one->file) & (one->events | POLLERR | POLLHUP));
}

static int start_ppoll(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct pollfd *fds = tdw__pointer(op->sqe.addr);
    const uint32_t count = op->sqe.len;
    const size_t bytes = sizeof(struct ppoll) + count * sizeof(struct polled);
    struct ppoll *all;

    if (count > process->files->fds_limit)
        return -EINVAL;
    if (!fds && count > 0)
        return -EFAULT;
    all = tdw__memory_get(process->ring.loop->memory, bytes);
    if (!all)
        return -ENOMEM;
    all->bytes = bytes;
    all->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct polled *one = &all->fds[i];

        one->all = all;
        one->events = (uint16_t)fds[i].events;
        one->watch.woken = woken;
        one->file = fds[i].fd < 0 ? NULL : tdw__fd(process->files, fds[i].fd);
        if (!one->file)
            continue;
        one->file->refs++;
        one->watched = one->file->kind->ready_queue != NULL;
        if (one->watched)
            tdw__watch(one->file->kind->ready_queue(one->file), &one->watch);
    }
    *object = all;
    tdw__wait_begin(&all->wait, op, op->sqe.off);
    return 0;
}

static bool any_ready(const struct ppoll *all, const struct pollfd *fds)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (answer(&all->fds[i], &fds[i]))
            return true;
    return false;
}

static struct tdw_waitq *blocked_ppoll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct ppoll *all = object;

    (void)process;
    if (op->state == TDW_BLOCKED)
        return &all->wait.queue;
    return all->wait.over || any_ready(all, tdw__pointer(op->sqe.addr)) ? NULL : &all->wait.queue;
}

static int32_t effect_ppoll(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct pollfd *fds = tdw__pointer(op->sqe.addr);
    const struct ppoll *all = object;
    int32_t count = 0;

    (void)process;
    for (uint32_t i = 0; i < all->count; i++) {
        fds[i].revents = answer(&all->fds[i], &fds[i]);
        count += fds[i].revents != 0;
    }
    return count;
}

static void release_ppoll(struct tdw_process *process, void *object)
{
    struct ppoll *all = object;

    tdw__wait_end(&all->wait);
    for (uint32_t i = 0; i < all->count; i++) {
        struct polled *one = &all->fds[i];

        if (one->watched)
            tdw__unwatch(one->file->kind->ready_queue(one->file), &one->watch);
        if (one->file)
            tdw__file_put(one->file);
    }
    tdw__memory_put(process->ring.loop->memory, all, all->bytes);
}

const struct tdw_sim_opcode tdw__row_ppoll = {start_ppoll, blocked_ppoll, effect_ppoll,
                                              release_ppoll, TDW_WHOLE};
