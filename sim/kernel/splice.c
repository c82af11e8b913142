/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes by way of pipes: the rows SPLICE and TEE, and what copy.c builds on.
 *
 *     file, socket ──fill──▶ pipe ──move──▶ pipe ──drain──▶ file, socket
 *                                 (copy: tee)
 *
 * A pipe is a row of slots, so bytes that move from pipe to pipe are slots that change hands; a
 * slot that is cut, or copied, shares its block. What comes out of a file arrives as one slot for
 * each page of the file, as it would out of a page cache. One end of a splice must be a pipe.
 *
 * A splice waits while there is nothing to take, or no room to put it; never once something was
 * moved. Its count may be short wherever Linux's may. A chain goes on only after a full one.
 */
#include <sim/kernel/pipe.h>
#include <string.h>

enum { BLOCKS = 16 }; /* of one call of a file's read or write */

#ifndef SPLICE_F_FD_IN_FIXED
#define SPLICE_F_FD_IN_FIXED (1u << 31)
#endif

/* ── Filling and draining ──────────────────────────────────────────────────────────────────── */

bool tdw__splices_from(const struct tdw_file *file)
{
    if (file->kind == &tdw__kind_device)
        return file->inode->device != TDW_DEV_NULL;
    return file->kind == &tdw__kind_reg || S_ISSOCK(file->kind->mode);
}

bool tdw__splices_to(const struct tdw_file *file)
{
    if (file->kind == &tdw__kind_device)
        return file->inode->device != TDW_DEV_FULL;
    return file->kind == &tdw__kind_reg || S_ISSOCK(file->kind->mode);
}

/* Blocks for `bytes` from `pos` on, and the vectors over them: the first begins where `pos` lies in
 * its page. How many there are. */
static uint32_t blocks_get(struct tdw_pipe *pipe, uint64_t pos, size_t bytes,
                           struct tdw_block *blocks[BLOCKS], struct iovec iov[BLOCKS])
{
    const uint32_t room = pipe->size - pipe->used;
    uint32_t count = 0, off = pos % TDW_PAGE_BYTES;

    while (count < BLOCKS && count < room && bytes > 0) {
        const size_t part = bytes < TDW_PAGE_BYTES - off ? bytes : TDW_PAGE_BYTES - off;

        blocks[count] = tdw__pool_get(&pipe->disk->blocks);
        if (!blocks[count])
            break;
        iov[count] = (struct iovec){blocks[count]->bytes + off, part};
        count++;
        bytes -= part;
        off = 0;
    }
    return count;
}

/* The blocks that hold something become slots. */
static void blocks_put(struct tdw_pipe *pipe, uint32_t count, struct tdw_block *const *blocks,
                       const struct iovec *iov, size_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        const size_t part = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

        if (part == 0) {
            tdw__pool_put(&pipe->disk->blocks, blocks[i]);
            continue;
        }
        blocks[i]->refs = 1;
        *tdw__pipe_slot(pipe, pipe->used++) =
            (struct tdw_pipe_slot){.block = blocks[i],
                                   .off = (uint32_t)((uint8_t *)iov[i].iov_base - blocks[i]->bytes),
                                   .bytes = (uint32_t)part};
        bytes -= part;
    }
}

static size_t sum(const struct iovec *iov, uint32_t count)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

int32_t tdw__pipe_fill(struct tdw_process *process, struct tdw_pipe *pipe, struct tdw_file *in,
                       uint64_t pos, size_t bytes, const struct tdw_op *op)
{
    const bool paged = in->kind == &tdw__kind_reg;
    int32_t done = 0;

    while (bytes > 0 && !tdw__pipe_full(pipe)) {
        struct tdw_block *blocks[BLOCKS];
        struct iovec iov[BLOCKS];
        const uint32_t count = blocks_get(pipe, paged ? pos : 0, bytes, blocks, iov);
        struct tdw_io io = {.iov = iov, .left = sum(iov, count), .off = pos, .nowait = true};
        const size_t wanted = io.left;
        const int32_t res = count ? in->kind->read(process, in, &io, op) : -ENOMEM;

        blocks_put(pipe, count, blocks, iov, res > 0 ? (size_t)res : 0);
        if (res <= 0)
            return done ? done : res;
        done += res;
        pos += (uint64_t)res;
        bytes -= (size_t)res;
        if ((size_t)res < wanted)
            break;
    }
    return done;
}

void tdw__pipe_consume(struct tdw_pipe *pipe, size_t bytes)
{
    while (bytes > 0) {
        struct tdw_pipe_slot *slot = tdw__pipe_slot(pipe, 0);
        const uint32_t part = slot->bytes < bytes ? slot->bytes : (uint32_t)bytes;

        slot->off += part;
        slot->bytes -= part;
        bytes -= part;
        if (slot->bytes == 0)
            tdw__pipe_drop(pipe);
    }
}

int32_t tdw__pipe_drain(struct tdw_process *process, struct tdw_pipe *pipe, struct tdw_file *out,
                        uint64_t pos, size_t bytes, const struct tdw_op *op)
{
    int32_t done = 0;

    while (bytes > 0 && pipe->used > 0) {
        struct iovec iov[BLOCKS];
        struct tdw_io io = {.iov = iov, .off = pos, .nowait = true};
        size_t wanted;
        int32_t res;

        for (uint32_t i = 0; i < BLOCKS && i < pipe->used && bytes > io.left; i++) {
            const struct tdw_pipe_slot *slot = tdw__pipe_slot(pipe, i);
            const size_t left = bytes - io.left;

            iov[i] = (struct iovec){slot->block->bytes + slot->off,
                                    slot->bytes < left ? slot->bytes : left};
            io.left += iov[i].iov_len;
        }
        wanted = io.left;
        res = out->kind->write(process, out, &io, op);
        if (res <= 0)
            return done ? done : res;
        tdw__pipe_consume(pipe, (size_t)res);
        done += res;
        pos += (uint64_t)res;
        bytes -= (size_t)res;
        if ((size_t)res < wanted)
            break;
    }
    return done;
}

int32_t tdw__pipe_move(struct tdw_pipe *in, struct tdw_pipe *out, size_t bytes, bool copy)
{
    size_t left = bytes;

    for (uint32_t at = 0; left > 0 && at < in->used && !tdw__pipe_full(out);) {
        struct tdw_pipe_slot *from = tdw__pipe_slot(in, at);
        struct tdw_pipe_slot *to = tdw__pipe_slot(out, out->used++);

        *to = *from;
        if (!copy && from->bytes <= left) { /* it changes hands, and writes may go on behind it */
            in->first = (in->first + 1) & (in->size - 1);
            in->used--;
            left -= to->bytes;
            continue;
        }
        to->block->refs++;
        to->merges = false;
        if (to->bytes > left)
            to->bytes = (uint32_t)left;
        left -= to->bytes;
        if (copy) {
            at++;
        } else {
            from->off += to->bytes;
            from->bytes -= to->bytes;
        }
    }
    return (int32_t)(bytes - left);
}

/* ── The files of a transfer ───────────────────────────────────────────────────────────────── */

struct tdw_file *tdw__transfer_in(const struct tdw_process *process, const struct tdw_op *op)
{
    return op->sqe.splice_flags & SPLICE_F_FD_IN_FIXED
               ? tdw__registered_file(process, (uint32_t)op->sqe.splice_fd_in)
               : tdw__fd(process->files, op->sqe.splice_fd_in);
}

int tdw__transfer_begin(struct tdw_process *process, struct tdw_op *op, void **object)
{
    struct tdw_file *out = tdw__op_file(process, op);
    struct tdw_file *in = tdw__transfer_in(process, op);
    struct tdw_transfer *transfer;

    if (!in || !out)
        return -EBADF;
    transfer = tdw__memory_get(process->ring.loop->memory, sizeof(*transfer));
    if (!transfer)
        return -ENOMEM;
    in->refs++;
    out->refs++;
    transfer->in = in;
    transfer->out = out;
    *object = transfer;
    return 0;
}

void tdw__transfer_release(struct tdw_process *process, void *object)
{
    struct tdw_transfer *transfer = object;

    tdw__file_put(transfer->in);
    tdw__file_put(transfer->out);
    tdw__memory_put(process->ring.loop->memory, transfer, sizeof(*transfer));
}

/* Does a file that is no pipe make a transfer wait? Sockets do; what cannot be spliced does not. */
static bool waits(const struct tdw_file *file)
{
    return file->kind->blocked && S_ISSOCK(file->kind->mode);
}

struct tdw_waitq *tdw__transfer_blocked(const struct tdw_transfer *t, size_t left)
{
    const struct tdw_io io = {.left = left};
    struct tdw_waitq *queue = NULL;

    if (tdw__is_pipe(t->in)) {
        struct tdw_pipe *pipe = t->in->pipe;

        queue = pipe->used == 0 && pipe->writers > 0 ? &pipe->readable : NULL;
    } else if (waits(t->in)) {
        queue = t->in->kind->blocked(t->in, &io, false);
    }
    if (queue)
        return queue; /* cppcheck-suppress returnDanglingLifetime ; the object's, not `io`'s */
    if (tdw__is_pipe(t->out)) {
        struct tdw_pipe *pipe = t->out->pipe;

        return tdw__pipe_full(pipe) && pipe->readers > 0 ? &pipe->writable : NULL;
    }
    /* cppcheck-suppress returnDanglingLifetime ; the queue is the object's, not the transfer's */
    return waits(t->out) ? t->out->kind->blocked(t->out, &io, true) : NULL;
}

/* ── SPLICE, TEE ───────────────────────────────────────────────────────────────────────────── */

static bool has_both(const struct tdw_transfer *t)
{
    return tdw__is_pipe(t->in) && tdw__is_pipe(t->out);
}

/* An offset given for what is no pipe, or none (-1). */
static int check_offset(const struct tdw_file *file, uint64_t off, size_t bytes)
{
    if (off == UINT64_MAX)
        off = file->pos;
    else if (!file->inode) /* it has no offsets */
        return -EINVAL;
    return (int64_t)off < 0 || bytes > (uint64_t)INT64_MAX - off ? -EINVAL : 0;
}

static int check_splice(const struct tdw_transfer *t, const struct io_uring_sqe *sqe)
{
    const bool in_pipe = tdw__is_pipe(t->in), out_pipe = tdw__is_pipe(t->out);
    int err;

    if (!(t->in->bits & TDW_FILE_READ) || !(t->out->bits & TDW_FILE_WRITE))
        return -EBADF;
    if (has_both(t) && (sqe->splice_off_in != UINT64_MAX || sqe->off != UINT64_MAX))
        return -ESPIPE;
    if (has_both(t))
        return t->in->pipe == t->out->pipe ? -EINVAL : 0;
    if (!in_pipe && !out_pipe)
        return -EINVAL;
    if ((in_pipe ? sqe->splice_off_in : sqe->off) != UINT64_MAX)
        return -ESPIPE;
    if (in_pipe && t->out->flags & O_APPEND)
        return -EINVAL;
    err = in_pipe ? check_offset(t->out, sqe->off, sqe->len)
                  : check_offset(t->in, sqe->splice_off_in, sqe->len);
    if (!err && in_pipe && !tdw__splices_to(t->out))
        err = -EINVAL;
    return err;
}

static int start_splice(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint32_t known =
        SPLICE_F_FD_IN_FIXED | SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
    int err = sqe->splice_flags & ~known ? -EINVAL : tdw__transfer_begin(process, op, object);

    if (err || sqe->len == 0)
        return err;
    err = check_splice(*object, sqe);
    if (err) {
        tdw__transfer_release(process, *object);
        *object = NULL;
    }
    return err;
}

static bool may_wait(const struct tdw_transfer *t, const struct io_uring_sqe *sqe)
{
    const int in_flags = tdw__is_pipe(t->in) ? t->in->flags : 0;
    const int out_flags = tdw__is_pipe(t->out) ? t->out->flags : 0;

    return !(sqe->splice_flags & SPLICE_F_NONBLOCK || (in_flags | out_flags) & O_NONBLOCK);
}

static struct tdw_waitq *blocked_splice(struct tdw_process *process, struct tdw_op *op,
                                        void *object)
{
    struct tdw_transfer *t = object;

    (void)process;
    if (op->state == TDW_BLOCKED) /* it stands there until it is woken */
        return t->queue;
    t->queue =
        op->sqe.len > 0 && may_wait(t, &op->sqe) ? tdw__transfer_blocked(t, op->sqe.len) : NULL;
    return t->queue;
}

static int32_t pipe_to_pipe(const struct tdw_transfer *t, size_t bytes, bool copy)
{
    struct tdw_pipe *in = t->in->pipe, *out = t->out->pipe;
    int32_t res;

    if (in->used == 0 && in->writers > 0)
        return -EAGAIN;
    if (out->readers == 0)
        return -EPIPE;
    if (tdw__pipe_full(out)) /* also at the end of what comes in */
        return -EAGAIN;
    if (in->used == 0)
        return 0;
    res = tdw__pipe_move(in, out, bytes, copy);
    tdw__wake(&out->readable);
    if (!copy)
        tdw__wake(&in->writable);
    return res;
}

static int32_t pipe_to_file(struct tdw_process *process, const struct tdw_op *op,
                            const struct tdw_transfer *t)
{
    struct tdw_pipe *pipe = t->in->pipe;
    const bool current = op->sqe.off == UINT64_MAX;
    int32_t res;

    if (pipe->used == 0)
        return pipe->writers > 0 ? -EAGAIN : 0;
    res = tdw__pipe_drain(process, pipe, t->out, current ? t->out->pos : op->sqe.off, op->sqe.len,
                          op);
    if (res <= 0)
        return res;
    if (current)
        t->out->pos += (uint64_t)res;
    tdw__wake(&pipe->writable);
    return res;
}

static int32_t file_to_pipe(struct tdw_process *process, const struct tdw_op *op,
                            const struct tdw_transfer *t)
{
    struct tdw_pipe *pipe = t->out->pipe;
    const bool current = op->sqe.splice_off_in == UINT64_MAX;
    int32_t res;

    if (pipe->readers == 0)
        return -EPIPE;
    if (tdw__pipe_full(pipe))
        return -EAGAIN;
    if (!tdw__splices_from(t->in))
        return -EINVAL;
    res = tdw__pipe_fill(process, pipe, t->in, current ? t->in->pos : op->sqe.splice_off_in,
                         op->sqe.len, op);
    if (res <= 0)
        return res;
    if (current)
        t->in->pos += (uint64_t)res;
    tdw__wake(&pipe->readable);
    return res;
}

static int32_t effect_splice(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_transfer *t = object;

    if (op->sqe.len == 0)
        return 0;
    if (has_both(t))
        return pipe_to_pipe(t, op->sqe.len, false);
    return tdw__is_pipe(t->in) ? pipe_to_file(process, op, t) : file_to_pipe(process, op, t);
}

static int start_tee(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct tdw_transfer *t;
    int err;

    if (sqe->splice_off_in || sqe->off)
        return -EINVAL;
    if (sqe->splice_flags &
        ~(SPLICE_F_FD_IN_FIXED | SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
        return -EINVAL;
    err = tdw__transfer_begin(process, op, object);
    if (err || sqe->len == 0)
        return err;
    t = *object;
    if (!(t->in->bits & TDW_FILE_READ) || !(t->out->bits & TDW_FILE_WRITE))
        err = -EBADF;
    else if (!has_both(t) || t->in->pipe == t->out->pipe)
        err = -EINVAL;
    if (err) {
        tdw__transfer_release(process, *object);
        *object = NULL;
    }
    return err;
}

static int32_t effect_tee(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return op->sqe.len > 0 ? pipe_to_pipe(object, op->sqe.len, true) : 0;
}

const struct tdw_sim_opcode tdw__row_splice = {start_splice, blocked_splice, effect_splice,
                                               tdw__transfer_release, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_tee = {start_tee, blocked_splice, effect_tee,
                                            tdw__transfer_release, TDW_WHOLE};
