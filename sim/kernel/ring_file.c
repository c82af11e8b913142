/* SPDX-License-Identifier: MIT */
/*
 * A ring as a file, so that others can send to it: tdw_ring_fd, and the rows MSG_RING and
 * RING_MESSAGE.
 *
 *     MSG_RING, fd ─▶ open file ─▶ process ─▶ its messages ─▶ RING_MESSAGE of that process
 *
 * On Linux a message is a completion that nobody submitted. Here every completion belongs to an
 * op, so the receiver submits one that waits for the next message and is told what the completion
 * would have said. MSG_RING with IORING_MSG_SEND_FD also puts an open file into the other ring's
 * registered files. A ring may send data to itself, but no file.
 *
 * The descriptor is inherited by processes that are started or forked, unless it is made O_CLOEXEC.
 * The ring lives as long as its process: afterwards a message is -EOWNERDEAD.
 */
#include <tidewheel/register.h>
#include <sim/kernel/vfs.h>
#include <poll.h>

enum { MSG_KNOWN = IORING_MSG_RING_CQE_SKIP | TDW_MSG_RING_FLAGS_PASS };

struct tdw_message {
    struct tdw_message *next;
    struct tdw_ring_message message;
};

static uint32_t ring_ready(const struct tdw_file *file)
{
    return POLLOUT | POLLWRNORM |
           (file->ring->registered.messages ? (uint32_t)POLLIN | POLLRDNORM : 0);
}

static struct tdw_waitq *ring_queue(struct tdw_file *file)
{
    return &file->ring->registered.message_queue;
}

static int32_t ring_rw(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                       const struct tdw_op *op)
{
    (void)process, (void)file, (void)op;
    return io->left > 0 ? -EINVAL : 0;
}

const struct tdw_file_kind tdw__kind_ring = {.name = "io_uring",
                                             .mode = 0600,
                                             .read = ring_rw,
                                             .write = ring_rw,
                                             .ready = ring_ready,
                                             .ready_queue = ring_queue};

static int do_ring_fd(struct tdw_process *process)
{
    struct tdw_files *files = process->files;
    const int fd = tdw__fd_free(files, 0);
    struct tdw_file *file;

    if (fd < 0)
        return fd;
    file = tdw__file_new(files->disk, &tdw__kind_ring, O_RDWR, NULL);
    if (!file)
        return -ENFILE;
    file->ring = process;
    file->number = files->disk->inode_next++;
    tdw__fd_set(files, fd, file, false);
    return fd;
}

int tdw__sim_ring_fd(void)
{
    return tdw__sys_event(TDW_SYS_RING_FD, -1, 0, 0, 0, do_ring_fd(tdw__process()));
}

/* ── Messages ──────────────────────────────────────────────────────────────────────────────── */

static int message_add(struct tdw_process *to, const struct tdw_ring_message *message)
{
    struct tdw_message *added = tdw__memory_get(to->ring.loop->memory, sizeof(*added));
    struct tdw_message **at = &to->registered.messages;

    if (!added)
        return -EOVERFLOW;
    added->message = *message;
    added->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = added;
    tdw__wake(&to->registered.message_queue);
    return 0;
}

static void message_take(struct tdw_process *process, struct tdw_ring_message *to)
{
    struct tdw_message *first = process->registered.messages;

    process->registered.messages = first->next;
    if (to)
        *to = first->message;
    tdw__memory_put(process->ring.loop->memory, first, sizeof(*first));
}

void tdw__messages_free(struct tdw_process *process)
{
    while (process->registered.messages)
        message_take(process, NULL);
}

/* ── MSG_RING ──────────────────────────────────────────────────────────────────────────────── */

static int start_msg_ring(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->buf_index || sqe->personality || sqe->msg_ring_flags & ~(uint32_t)MSG_KNOWN)
        return -EINVAL;
    return tdw__start_fd(process, op, object);
}

static int32_t send_data(const struct io_uring_sqe *sqe, struct tdw_process *to)
{
    const bool pass = sqe->msg_ring_flags & TDW_MSG_RING_FLAGS_PASS;

    if (sqe->addr3 || sqe->msg_ring_flags & ~(uint32_t)TDW_MSG_RING_FLAGS_PASS)
        return -EINVAL;
    if (!pass && sqe->file_index)
        return -EINVAL;
    if (to->ring.dead)
        return -EOWNERDEAD;
    return message_add(to, &(struct tdw_ring_message){.user_data = sqe->off,
                                                      .res = (int32_t)sqe->len,
                                                      .flags = pass ? sqe->file_index : 0});
}

static int32_t send_file(struct tdw_process *process, const struct io_uring_sqe *sqe,
                         struct tdw_process *to)
{
    struct tdw_file *file = tdw__registered_file(process, (uint32_t)sqe->addr3);
    int32_t slot;
    int err;

    if (sqe->len || to == process)
        return -EINVAL;
    if (to->ring.dead)
        return -EOWNERDEAD;
    if (!file)
        return -EBADF;
    file->refs++;
    slot = tdw__registered_install(to, sqe->file_index, file);
    if (slot < 0 || sqe->msg_ring_flags & IORING_MSG_RING_CQE_SKIP)
        return slot;
    err = message_add(to, &(struct tdw_ring_message){.user_data = sqe->off, .res = slot});
    return err ? err : slot;
}

static int32_t effect_msg_ring(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct tdw_file *file = object;

    if (file->kind != &tdw__kind_ring)
        return -EBADFD;
    switch (sqe->addr) {
    case IORING_MSG_DATA:
        return send_data(sqe, file->ring);
    case IORING_MSG_SEND_FD:
        return send_file(process, sqe, file->ring);
    default:
        return -EINVAL;
    }
}

/* ── RING_MESSAGE ──────────────────────────────────────────────────────────────────────────── */

static int start_message(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    return op->sqe.addr ? 0 : -EFAULT;
}

static struct tdw_waitq *blocked_message(struct tdw_process *process, struct tdw_op *op,
                                         void *object)
{
    (void)op, (void)object;
    return process->registered.messages ? NULL : &process->registered.message_queue;
}

static int32_t effect_message(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)object;
    message_take(process, tdw__pointer(op->sqe.addr));
    return 0;
}

const struct tdw_sim_opcode tdw__row_msg_ring = {start_msg_ring, NULL, effect_msg_ring,
                                                 tdw__release_fd, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_ring_message = {start_message, blocked_message, effect_message,
                                                     NULL, TDW_WHOLE};
