/* SPDX-License-Identifier: MIT */
/*
 * Hints: the rows SYNC_FILE_RANGE, FADVISE and MADVISE. They are checked as Linux checks them, and
 * change nothing.
 *
 * SYNC_FILE_RANGE starts or awaits the writing of pages and promises nothing after a power cut
 * (neither the size nor the device's own cache is written), so by the calm rule nothing is kept.
 * Advice on memory that takes its content away (MADV_DONTNEED, MADV_REMOVE, …) is -EINVAL: the
 * memory is the program's own, and not the simulated kernel's to clear.
 */
#include <sim/kernel/vfs.h>
#include <sys/mman.h>

static int start_sync_range(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->addr || sqe->buf_index || sqe->splice_fd_in)
        return -EINVAL;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_sync_range(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint32_t known =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const struct tdw_file *file = object;

    (void)process;
    if (sqe->sync_range_flags & ~known || (int64_t)sqe->off < 0 ||
        (int64_t)(sqe->off + sqe->len) < 0)
        return -EINVAL;
    /* The inode's type, for a slot may hold what was opened with O_PATH. */
    return file->inode && (tdw__is_reg(file->inode) || tdw__is_dir(file->inode) ||
                           tdw__is_lnk(file->inode))
               ? 0
               : -ESPIPE;
}

static int start_fadvise(struct tdw_process *process, struct tdw_op *op, void **object)
{
    if (op->sqe.buf_index || op->sqe.splice_fd_in)
        return -EINVAL;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_fadvise(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct tdw_file *file = object;

    (void)process;
    if (S_ISFIFO(file->kind->mode))
        return -ESPIPE;
    if ((int64_t)sqe->addr < 0) /* the length, if it does not fit into `len` */
        return -EINVAL;
    return sqe->fadvise_advice > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

static int start_madvise(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint64_t bytes = sqe->off ? sqe->off : sqe->len;

    (void)process, (void)object;
    if (sqe->buf_index || sqe->splice_fd_in)
        return -EINVAL;
    switch (sqe->fadvise_advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        break;
    default:
        return -EINVAL;
    }
    return sqe->addr % TDW_PAGE_BYTES || bytes > UINT64_MAX - TDW_PAGE_BYTES - sqe->addr ? -EINVAL
                                                                                         : 0;
}

static int32_t effect_madvise(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process, (void)op, (void)object;
    return 0;
}

const struct tdw_sim_opcode tdw__row_sync_file_range = {start_sync_range, NULL, effect_sync_range,
                                                        tdw__release_fd, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_fadvise = {start_fadvise, NULL, effect_fadvise,
                                                tdw__release_fd, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_madvise = {start_madvise, NULL, effect_madvise, NULL,
                                                TDW_WHOLE};
