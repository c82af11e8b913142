/* SPDX-License-Identifier: MIT */
/*
 * Copying inside the kernel: the rows SENDFILE and COPY_FILE_RANGE.
 *
 *     in, at its offset ──fill──▶ a pipe of this file's own ──drain──▶ out
 *
 * Both are splices through a pipe that nobody sees, a few pages at a time; a copy into a real pipe
 * fills that, once. What is not a socket or a pipe never makes them wait, so they are one effect.
 * On a socket a copy goes on until all is sent, unless the socket says not to wait; then, or when
 * an error comes after some bytes, the count is short. io_uring has no such operations: a worker
 * would make the system calls, whose rules these follow. `addr`, and for COPY_FILE_RANGE `off`,
 * point to offsets, which are moved; NULL: the file's position is used and moved.
 */
#include <sim/kernel/pipe.h>

enum { SLOTS = 16 };

/* A pipe for the way, on the caller's stack. */
struct way {
    struct tdw_pipe pipe;
    struct tdw_pipe_slot slots[SLOTS];
};

static void way_init(struct way *way, struct tdw_disk *disk)
{
    way->pipe = (struct tdw_pipe){.disk = disk, .slots = way->slots, .size = SLOTS};
}

/* Up to `bytes` of one file to the other; positions move by what arrived. Stops where either stops:
 * *full is false then. How many, or -errno. */
static int32_t copy(struct tdw_process *process, struct tdw_transfer *t, size_t bytes,
                    const struct tdw_op *op, bool *full)
{
    struct way way;
    int32_t done = 0;

    *full = true;
    way_init(&way, t->in->disk);
    while (bytes > 0 && *full) {
        int32_t got = tdw__pipe_fill(process, &way.pipe, t->in, t->in_pos, bytes, op);
        const int32_t wanted = got;

        if (got > 0) /* at the end of a file, nobody asks where it was to go */
            got = tdw__splices_to(t->out)
                      ? tdw__pipe_drain(process, &way.pipe, t->out, t->out_pos, (size_t)got, op)
                      : -EINVAL;
        while (way.pipe.used > 0)
            tdw__pipe_drop(&way.pipe);
        *full = got == wanted && got > 0;
        if (got < 0)
            return done ? done : got;
        done += got;
        bytes -= (size_t)got;
        t->in_pos += (uint64_t)got;
        t->out_pos += (uint64_t)got;
    }
    return done;
}

/* Where a file is read or written: at what the entry's word points to, or at its position. */
static uint64_t position(const struct tdw_file *file, uint64_t word)
{
    const int64_t *off = tdw__pointer(word);

    return off ? (uint64_t)*off : file->pos;
}

static void set_position(struct tdw_file *file, uint64_t word, uint64_t pos)
{
    int64_t *off = tdw__pointer(word);

    if (off)
        *off = (int64_t)pos;
    else
        file->pos = pos;
}

static int refuse(struct tdw_process *process, void **object, int err)
{
    if (err) {
        tdw__transfer_release(process, *object);
        *object = NULL;
    }
    return err;
}

/* ── SENDFILE ──────────────────────────────────────────────────────────────────────────────── */

static bool seeks(const struct tdw_file *file)
{
    return !tdw__is_pipe(file) && !S_ISSOCK(file->kind->mode);
}

/* What is wrong with `in`, before anybody looks at `out`. */
static int check_in(const struct tdw_file *in, const struct io_uring_sqe *sqe)
{
    uint64_t pos;

    if (!in || !(in->bits & TDW_FILE_READ))
        return -EBADF;
    if (sqe->addr && !in->inode) /* it has no offsets */
        return -ESPIPE;
    pos = position(in, sqe->addr);
    return (int64_t)pos < 0 || sqe->len > (uint64_t)INT64_MAX - pos ? -EINVAL : 0;
}

static int check_out(const struct tdw_transfer *t, const struct io_uring_sqe *sqe)
{
    if (!(t->out->bits & TDW_FILE_WRITE))
        return -EBADF;
    if (position(t->in, sqe->addr) + (sqe->len > 0) > t->in->disk->file_bytes_max)
        return -EOVERFLOW;
    if (tdw__is_pipe(t->out))
        return 0;
    if (t->out->flags & O_APPEND || !seeks(t->in))
        return -EINVAL;
    if (sqe->len == 0)
        return 0;
    return tdw__splices_from(t->in) ? 0 : -EINVAL;
}

static int start_sendfile(struct tdw_process *process, struct tdw_op *op, void **object)
{
    int err = check_in(tdw__transfer_in(process, op), &op->sqe);

    if (!err)
        err = tdw__transfer_begin(process, op, object);
    return err ? err : refuse(process, object, check_out(*object, &op->sqe));
}

static struct tdw_waitq *blocked_sendfile(struct tdw_process *process, struct tdw_op *op,
                                          void *object)
{
    struct tdw_transfer *t = object;
    const size_t left = op->sqe.len - (size_t)op->res;

    (void)process;
    if (op->state == TDW_BLOCKED)
        return t->queue;
    /* A pipe's room is waited for even if nothing is to be written. */
    t->queue = (left > 0 || tdw__is_pipe(t->out)) && !(t->out->flags & O_NONBLOCK)
                   ? tdw__transfer_blocked(t, left)
                   : NULL;
    return t->queue;
}

static int32_t into_pipe(struct tdw_process *process, struct tdw_op *op, struct tdw_transfer *t)
{
    struct tdw_pipe *pipe = t->out->pipe;
    int32_t res;

    if (pipe->readers == 0)
        return -EPIPE;
    if (tdw__pipe_full(pipe))
        return -EAGAIN;
    if (op->sqe.len > 0 && !tdw__splices_from(t->in))
        return -EINVAL;
    res = tdw__pipe_fill(process, pipe, t->in, t->in_pos, op->sqe.len, op);
    if (res > 0) {
        t->in_pos += (uint64_t)res;
        tdw__wake(&pipe->readable);
    }
    return res;
}

static int32_t effect_sendfile(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_transfer *t = object;
    const bool waits = t->out->kind->blocked && !(t->out->flags & O_NONBLOCK);
    bool full = true;
    int32_t res;

    if (!t->begun) {
        t->in_pos = position(t->in, op->sqe.addr);
        t->out_pos = t->out->pos;
        t->begun = true;
    }
    if (tdw__is_pipe(t->out)) {
        res = into_pipe(process, op, t);
    } else {
        const size_t left = op->sqe.len - (size_t)op->res;

        res = copy(process, t, left, op, &full);
        if (res > 0)
            op->res += res;
        if (waits && ((!full && res > 0 && (size_t)res < left) || res == -EAGAIN) &&
            tdw__transfer_blocked(t, 1))
            return TDW_AGAIN;
        if (op->res > 0)
            res = op->res;
    }
    if (res > 0) {
        set_position(t->in, op->sqe.addr, t->in_pos);
        t->out->pos = t->out_pos;
    }
    return res;
}

/* ── COPY_FILE_RANGE ───────────────────────────────────────────────────────────────────────── */

static int check_files(const struct tdw_transfer *t)
{
    const struct tdw_file *in = t->in, *out = t->out;

    if (in->kind == &tdw__kind_dir || out->kind == &tdw__kind_dir)
        return -EISDIR;
    if (in->kind != &tdw__kind_reg || out->kind != &tdw__kind_reg)
        return -EINVAL;
    if (!(in->bits & TDW_FILE_READ) || !(out->bits & TDW_FILE_WRITE) || out->flags & O_APPEND)
        return -EBADF;
    return 0;
}

static int start_copy(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const uint32_t flags = op->sqe.splice_flags;
    int err = tdw__transfer_begin(process, op, object);

    if (err)
        return err;
    err = flags & ~SPLICE_F_FD_IN_FIXED ? -EINVAL : check_files(*object);
    return refuse(process, object, err);
}

/* What of `bytes` can be copied: the files' sizes, and their limits. */
static int64_t check_range(const struct tdw_transfer *t, uint64_t bytes)
{
    const int64_t in = (int64_t)t->in_pos, out = (int64_t)t->out_pos;
    const int64_t size = (int64_t)t->in->inode->now.size;
    const int64_t max = (int64_t)t->out->disk->file_bytes_max;

    if (t->in_pos > UINT64_MAX - bytes || t->out_pos > UINT64_MAX - bytes)
        return -EOVERFLOW;
    if (in >= size)
        bytes = 0;
    else if (in >= 0 && bytes > (uint64_t)(size - in))
        bytes = (uint64_t)(size - in);
    if (out >= max)
        return -EFBIG;
    if (out >= 0 && bytes > (uint64_t)(max - out))
        bytes = (uint64_t)(max - out);
    if (in < 0 || out < 0)
        return -EINVAL;
    if (t->in->inode == t->out->inode && t->out_pos + bytes > t->in_pos &&
        t->out_pos < t->in_pos + bytes)
        return -EINVAL;
    return (int64_t)bytes;
}

static int32_t effect_copy(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_transfer *t = object;
    int64_t bytes;
    int32_t res;
    bool full;

    t->in_pos = position(t->in, op->sqe.addr);
    t->out_pos = position(t->out, op->sqe.off);
    bytes = check_range(t, op->sqe.len);
    if (bytes <= 0)
        return (int32_t)bytes;
    res = copy(process, t, (size_t)bytes, op, &full);
    if (res > 0) {
        set_position(t->in, op->sqe.addr, t->in_pos);
        set_position(t->out, op->sqe.off, t->out_pos);
    }
    return res;
}

const struct tdw_sim_opcode tdw__row_sendfile = {start_sendfile, blocked_sendfile, effect_sendfile,
                                                 tdw__transfer_release, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_copy_file_range = {start_copy, NULL, effect_copy,
                                                        tdw__transfer_release, TDW_SPLITS};
