/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing: the rows READ WRITE READV WRITEV READ_FIXED WRITE_FIXED FALLOCATE
 * FTRUNCATE, and what they mean for regular files.
 *
 * A row's start finds the open file, checks what does not depend on the file's state, and takes a
 * reference; the effect is the kind's own (pipes, events and devices bring theirs). Bytes of a
 * write are taken, and the buffer of a read is filled, at the effect.
 *
 * Offset -1 uses and moves the file position; kinds without one ignore the offset, as io_uring
 * does (but other negative ones are refused for all). A write through O_APPEND goes to the end,
 * whatever its offset. O_SYNC, O_DSYNC and their RWF_ forms make a write durable at its effect.
 * O_DIRECT asks for offset and length in sectors; the buffer's address is not looked at, since it
 * must not decide.
 *
 * Cost of a small read or write in a page used before: two dozen instructions and the memcpy.
 */
#include <sim/kernel/drive.h>
#include <sim/kernel/vfs.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>

enum { SECTOR_BYTES = 512 };

/* ── Regular files ─────────────────────────────────────────────────────────────────────────── */

static bool misaligned(const struct tdw_file *file, const struct tdw_io *io, uint64_t pos)
{
    return file->flags & O_DIRECT && (pos % SECTOR_BYTES || io->left % SECTOR_BYTES);
}

/* Beyond what an offset can say, whatever the file holds. */
static bool past_the_end(const struct tdw_io *io, uint64_t pos)
{
    return io->left > (uint64_t)INT64_MAX - pos;
}

void tdw__file_accessed(struct tdw_file *file, uint64_t now_ns)
{
    struct tdw_attributes *a = &file->inode->now;
    const uint64_t day_ns = 86400u * (uint64_t)1000000000u;

    if (TDW_UNLIKELY(a->atime_ns <= a->mtime_ns || a->atime_ns <= a->ctime_ns ||
                     now_ns - a->atime_ns >= day_ns) &&
        !(file->flags & O_NOATIME))
        a->atime_ns = now_ns;
}

static int32_t reg_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                        const struct tdw_op *op)
{
    struct tdw_inode *inode = file->inode;
    const bool current = io->off == UINT64_MAX;
    const uint64_t pos = current ? file->pos : io->off;
    size_t left = io->left, done = 0;

    if (past_the_end(io, pos) || misaligned(file, io, pos))
        return -EINVAL;
    if (pos >= inode->now.size || left == 0)
        return 0;
    if (left > inode->now.size - pos)
        left = (size_t)(inode->now.size - pos);
    if (TDW_UNLIKELY(inode->damage || process->ring.loop->gate)) {
        const int64_t whole = tdw__damage_read(process, op, file, pos, left);

        if (whole < 0)
            return (int32_t)whole;
        left = (size_t)whole;
    }
    for (const struct iovec *iov = io->iov; done < left; iov++) {
        const size_t part = iov->iov_len < left - done ? iov->iov_len : left - done;

        tdw__pages_read(inode, pos + done, iov->iov_base, part);
        if (TDW_UNLIKELY(inode->damage))
            tdw__damage_rot(inode, pos + done, iov->iov_base, part);
        done += part;
    }
    tdw__file_accessed(file, tdw__now(process));
    if (current)
        file->pos = pos + done;
    return (int32_t)done;
}

/* Write what fits. Returns the bytes written, or -errno if none. */
static int64_t write_vectors(struct tdw_inode *inode, uint64_t pos, const struct iovec *iov,
                             size_t left)
{
    size_t done = 0;

    for (; done < left; iov++) {
        const size_t part = iov->iov_len < left - done ? iov->iov_len : left - done;
        const int64_t got = tdw__pages_write(inode, pos + done, iov->iov_base, part);

        if (got < 0)
            return done ? (int64_t)done : got;
        done += (size_t)got;
        if ((size_t)got < part)
            break;
    }
    return (int64_t)done;
}

static int32_t reg_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                         const struct tdw_op *op)
{
    struct tdw_inode *inode = file->inode;
    const bool current = io->off == UINT64_MAX;
    const bool append =
        (file->flags & O_APPEND && !(io->rw_flags & TDW_RWF_NOAPPEND)) || io->rw_flags & RWF_APPEND;
    const uint64_t max = inode->disk->file_bytes_max;
    uint64_t pos = current ? file->pos : io->off;
    size_t left = io->left;
    int64_t done;

    if (past_the_end(io, pos))
        return -EINVAL;
    if (left == 0)
        return 0;
    if (append)
        pos = inode->now.size;
    if (pos >= max)
        return -EFBIG;
    if (left > max - pos)
        left = (size_t)(max - pos);
    if (misaligned(file, io, pos))
        return -EINVAL;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    done = write_vectors(inode, pos, io->iov, left);
    if (done < 0)
        return (int32_t)done;
    pos += (uint64_t)done;
    if (pos > inode->now.size)
        tdw__inode_set_size(inode, pos);
    inode->now.mtime_ns = inode->now.ctime_ns = tdw__now(process);
    if (current)
        file->pos = pos;
    if (TDW_UNLIKELY(inode->damage || process->ring.loop->gate))
        tdw__damage_write(process, op, file, pos - (uint64_t)done, (size_t)done);
    if (TDW_UNLIKELY(file->flags & O_DSYNC || io->rw_flags & (RWF_DSYNC | RWF_SYNC))) {
        const bool all = (file->flags & O_SYNC) == O_SYNC || io->rw_flags & RWF_SYNC;

        return tdw__sync_write(process, op, file, pos - (uint64_t)done, pos, !all) ? -EIO
                                                                                   : (int32_t)done;
    }
    return (int32_t)done;
}

const struct tdw_file_kind tdw__kind_reg = {
    .name = "file", .direct = true, .read = reg_read, .write = reg_write};

/* What O_PATH gives: it can be closed, copied, and named by. */
const struct tdw_file_kind tdw__kind_path = {.name = "path"};

/* ── READ, WRITE and their vectored forms ──────────────────────────────────────────────────── */

int tdw__start_fd(struct tdw_process *process, struct tdw_op *op, void **object)
{
    struct tdw_file *file = tdw__op_file(process, op);

    if (TDW_UNLIKELY(!file))
        return -EBADF;
    file->refs++;
    *object = file;
    return 0;
}

void tdw__release_fd(struct tdw_process *process, void *object)
{
    (void)process;
    tdw__file_put(object);
}

static int check_rw_flags(int flags)
{
    const int known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;

    if (flags & ~(known | TDW_RWF_NOAPPEND))
        return -EOPNOTSUPP;
    if (flags & RWF_HIPRI || (flags & RWF_APPEND && flags & TDW_RWF_NOAPPEND))
        return -EINVAL;
    return 0;
}

/* The bytes that an op asks for whose buffer is picked for it; 0: as many as the buffer has. */
static size_t selected_want(const struct tdw_op *op)
{
    const struct iovec *iov = tdw__pointer(op->sqe.addr);

    return op->sqe.opcode == IORING_OP_READV ? iov->iov_len : op->sqe.len;
}

static int start_rw(struct tdw_process *process, struct tdw_op *op, void **object, uint8_t access)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    struct tdw_file *file = tdw__op_file(process, op);

    if (TDW_UNLIKELY(!file))
        return -EBADF;
    if (TDW_UNLIKELY(sqe->flags & IOSQE_BUFFER_SELECT)) {
        const int err = tdw__buffer_begin(op, selected_want(op), file->kind->blocked);

        if (err)
            return err;
    }
    if (TDW_UNLIKELY(!(file->bits & access)))
        return -EBADF;
    if (TDW_UNLIKELY(!(access == TDW_FILE_READ ? file->kind->read : file->kind->write)))
        return -EINVAL; /* an epoll instance; a write to a timer */
    if (TDW_UNLIKELY(sqe->rw_flags != 0)) {
        const int err = check_rw_flags(sqe->rw_flags);

        if (err)
            return err;
    }
    if (TDW_UNLIKELY((int64_t)sqe->off < -1))
        return -EINVAL;
    if (TDW_UNLIKELY(!sqe->addr && sqe->len > 0 && !(sqe->flags & IOSQE_BUFFER_SELECT)))
        return -EFAULT;
    file->refs++;
    *object = file;
    return 0;
}

static int check_vectors(const struct iovec *iov, uint32_t count)
{
    if (count > UIO_MAXIOV)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (iov[i].iov_len > (size_t)SSIZE_MAX)
            return -EINVAL;
    return 0;
}

static int start_read(struct tdw_process *process, struct tdw_op *op, void **object)
{
    return start_rw(process, op, object, TDW_FILE_READ);
}

static int start_write(struct tdw_process *process, struct tdw_op *op, void **object)
{
    return start_rw(process, op, object, TDW_FILE_WRITE);
}

static int start_readv(struct tdw_process *process, struct tdw_op *op, void **object)
{
    int err = op->sqe.addr ? check_vectors(tdw__pointer(op->sqe.addr), op->sqe.len) : 0;

    if (!err && op->sqe.flags & IOSQE_BUFFER_SELECT && (op->sqe.len != 1 || !op->sqe.addr))
        err = op->sqe.len == 1 ? -EFAULT : -EINVAL;
    return err ? err : start_rw(process, op, object, TDW_FILE_READ);
}

static int start_writev(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const int err = op->sqe.addr ? check_vectors(tdw__pointer(op->sqe.addr), op->sqe.len) : 0;

    return err ? err : start_rw(process, op, object, TDW_FILE_WRITE);
}

static int start_fixed(struct tdw_process *process, struct tdw_op *op, void **object,
                       uint8_t access)
{
    const int err = tdw__registered_buffer(process, op->sqe.buf_index, op->sqe.addr, op->sqe.len);

    if (err && tdw__op_file(process, op))
        return err;
    return start_rw(process, op, object, access);
}

static int start_read_fixed(struct tdw_process *process, struct tdw_op *op, void **object)
{
    return start_fixed(process, op, object, TDW_FILE_READ);
}

static int start_write_fixed(struct tdw_process *process, struct tdw_op *op, void **object)
{
    return start_fixed(process, op, object, TDW_FILE_WRITE);
}

/* The transfer that an entry describes; `one` holds the vector of the plain forms. */
static inline struct tdw_io io_of(const struct tdw_op *op, struct iovec *one, bool vectored)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    struct tdw_io io = {.iov = one,
                        .off = sqe->off,
                        .rw_flags = sqe->rw_flags,
                        .nowait = sqe->rw_flags & RWF_NOWAIT};
    size_t total = sqe->len;

    if (TDW_UNLIKELY(sqe->flags & IOSQE_BUFFER_SELECT)) {
        tdw__buffer_peek(op, selected_want(op), one);
        total = one->iov_len;
    } else if (vectored) {
        io.iov = tdw__pointer(sqe->addr);
        total = 0;
        for (uint32_t i = 0; i < sqe->len; i++) {
            const size_t more = io.iov[i].iov_len;

            total = more > TDW_IO_BYTES_MAX - total ? TDW_IO_BYTES_MAX : total + more;
        }
    } else {
        *one = (struct iovec){tdw__pointer(sqe->addr), sqe->len};
    }
    io.left = total < TDW_IO_BYTES_MAX ? total : TDW_IO_BYTES_MAX;
    return io;
}

static inline struct tdw_waitq *blocked_rw(const struct tdw_op *op, struct tdw_file *file,
                                           bool write, bool vectored)
{
    struct iovec one;
    struct tdw_io io;

    if (TDW_LIKELY(!file->kind->blocked))
        return NULL;
    io = io_of(op, &one, vectored);
    if (TDW_UNLIKELY(io.left == 0 && op->state == TDW_BLOCKED)) /* its group is gone by now */
        io.left = TDW_IO_BYTES_MAX;
    if (io.nowait && op->state != TDW_BLOCKED) /* one that waits already goes on waiting */
        return NULL;
    /* cppcheck-suppress returnDanglingLifetime ; the queue is the object's, not the transfer's */
    return file->kind->blocked(file, &io, write);
}

static struct tdw_waitq *blocked_read(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return blocked_rw(op, object, false, false);
}

static struct tdw_waitq *blocked_readv(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return blocked_rw(op, object, false, true);
}

static struct tdw_waitq *blocked_write(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return blocked_rw(op, object, true, false);
}

static struct tdw_waitq *blocked_writev(struct tdw_process *process, struct tdw_op *op,
                                        void *object)
{
    (void)process;
    return blocked_rw(op, object, true, true);
}

/* Into a buffer that is picked: what was not taken at the start is taken with the data, or with
 * the news that there is none. */
static int32_t read_selected(struct tdw_process *process, struct tdw_op *op, struct tdw_file *file)
{
    const size_t want = selected_want(op);
    struct iovec one;
    struct tdw_io io = io_of(op, &one, false);
    int32_t res = tdw__buffer_peek(op, want, &one);

    if (res < 0)
        return res;
    res = file->kind->read(process, file, &io, op);
    if (res >= 0)
        tdw__buffer_take(op, want, (size_t)res);
    return res;
}

static int32_t effect_read(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    struct iovec one;
    struct tdw_io io;

    if (TDW_UNLIKELY(op->sqe.flags & IOSQE_BUFFER_SELECT))
        return read_selected(process, op, file);
    io = io_of(op, &one, false);
    if (TDW_LIKELY(file->kind == &tdw__kind_reg))
        return reg_read(process, file, &io, op);
    return file->kind->read(process, file, &io, op);
}

static int32_t effect_readv(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    struct iovec unused;
    struct tdw_io io;

    if (TDW_UNLIKELY(op->sqe.flags & IOSQE_BUFFER_SELECT))
        return read_selected(process, op, file);
    io = io_of(op, &unused, true);
    return file->kind->read(process, file, &io, op);
}

static int32_t effect_write(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    struct iovec one;
    struct tdw_io io = io_of(op, &one, false);

    if (TDW_LIKELY(file->kind == &tdw__kind_reg))
        return reg_write(process, file, &io, op);
    return file->kind->write(process, file, &io, op);
}

static int32_t effect_writev(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    struct iovec unused;
    struct tdw_io io = io_of(op, &unused, true);

    return file->kind->write(process, file, &io, op);
}

const struct tdw_sim_opcode tdw__row_read = {start_read, blocked_read, effect_read, tdw__release_fd,
                                             TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_readv = {start_readv, blocked_readv, effect_readv,
                                              tdw__release_fd, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_read_fixed = {start_read_fixed, blocked_read, effect_read,
                                                   tdw__release_fd, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_write_fixed = {start_write_fixed, blocked_write, effect_write,
                                                    tdw__release_fd, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_write = {start_write, blocked_write, effect_write,
                                              tdw__release_fd, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_writev = {start_writev, blocked_writev, effect_writev,
                                               tdw__release_fd, TDW_SPLITS};

/* ── What reaches a device ─────────────────────────────────────────────────────────────────── */

/* The bytes that an entry asks for, vectors or not. */
static uint64_t bytes_of(const struct tdw_op *op)
{
    const bool vectored = op->sqe.opcode == IORING_OP_READV || op->sqe.opcode == IORING_OP_WRITEV;
    struct iovec one;

    return io_of(op, &one, vectored).left;
}

bool tdw__file_request(const struct tdw_op *op, const void *object, enum tdw_request *request,
                       uint64_t *bytes)
{
    const struct tdw_file *file = object; /* of those that read and write; others have their own */

    *bytes = 0;
    switch (op->sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_READ_FIXED:
        if (file->kind != &tdw__kind_reg)
            return false;
        *request = TDW_REQUEST_READ;
        *bytes = bytes_of(op);
        return file->flags & O_DIRECT ||
               !tdw__pages_resident(file->inode,
                                    op->sqe.off == UINT64_MAX ? file->pos : op->sqe.off, *bytes);
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
        if (file->kind != &tdw__kind_reg)
            return false;
        *request = TDW_REQUEST_WRITE;
        *bytes = bytes_of(op);
        return file->flags & (O_DIRECT | O_DSYNC) || op->sqe.rw_flags & (RWF_DSYNC | RWF_SYNC);
    case IORING_OP_FSYNC:
        *request = TDW_REQUEST_FLUSH;
        return true;
    default:
        return false;
    }
}

/* ── FALLOCATE, FTRUNCATE ──────────────────────────────────────────────────────────────────── */

static int start_fallocate(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const int64_t off = (int64_t)op->sqe.off, bytes = (int64_t)op->sqe.addr;
    const int mode = (int)op->sqe.len;
    const struct tdw_file *file = tdw__op_file(process, op);

    if (!file)
        return -EBADF;
    if (off < 0 || bytes <= 0)
        return -EINVAL;
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) &&
        mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if (!(file->bits & TDW_FILE_WRITE))
        return -EBADF;
    if (S_ISFIFO(file->kind->mode))
        return -ESPIPE;
    if (!file->inode)
        return -ENODEV;
    if (!tdw__is_reg(file->inode))
        return tdw__is_dir(file->inode) ? -EISDIR : -ENODEV;
    if (bytes > INT64_MAX - off || (uint64_t)(off + bytes) > file->disk->file_bytes_max)
        return -EFBIG;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_fallocate(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_inode *inode = ((struct tdw_file *)object)->inode;
    const uint64_t off = op->sqe.off, end = off + op->sqe.addr;
    const uint32_t mode = op->sqe.len;
    int err = tdw__disk_writable(inode->disk);

    if (err)
        return err;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        err = tdw__pages_punch(inode, off, end);
    if (!err && !(mode & FALLOC_FL_PUNCH_HOLE))
        err = tdw__pages_reserve(inode, off, end);
    if (err)
        return err;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > inode->now.size)
        tdw__inode_set_size(inode, end);
    inode->now.mtime_ns = inode->now.ctime_ns = tdw__now(process);
    return 0;
}

const struct tdw_sim_opcode tdw__row_fallocate = {start_fallocate, NULL, effect_fallocate,
                                                  tdw__release_fd, TDW_SPLITS};

static int start_ftruncate(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct tdw_file *file = tdw__op_file(process, op);

    if (!file)
        return -EBADF;
    if ((int64_t)op->sqe.off < 0 || !file->inode || !tdw__is_reg(file->inode) ||
        !(file->bits & TDW_FILE_WRITE))
        return -EINVAL;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_ftruncate(struct tdw_process *process, struct tdw_op *op, void *object)
{
    return tdw__inode_resize(((struct tdw_file *)object)->inode, op->sqe.off, tdw__now(process));
}

const struct tdw_sim_opcode tdw__row_ftruncate = {start_ftruncate, NULL, effect_ftruncate,
                                                  tdw__release_fd, TDW_SPLITS};
