/* SPDX-License-Identifier: MIT */
/*
 * Making files durable: the row FSYNC.
 *
 *     start ──▶ what is to be kept: references to blocks, attributes ──▶ effect: it is kept
 *                    └── writes in between take copies of those blocks
 *
 * An fsync covers what took effect before it started, and nothing else: what is written while it is
 * under way stays volatile, as it may on a real disk, and a program that counts on it is found out.
 * A power cut before the effect leaves nothing of it.
 *
 * The syncs of a file under way hang in its inode, oldest first. Whichever takes effect first,
 * those that started before it are applied on the way, so the kept side never goes back in time;
 * O_SYNC writes, which keep what is there now, do the same (tdw__syncs_apply).
 *
 * For a directory only names that were changed before the start are kept; where there is no log
 * (unsynced.c), as they are at the effect: a later change of the same name comes with the earlier
 * one. Which names come with a file is the file system's (tdw__names_sync).
 *
 * Cost: one record for each page that differs from its kept side.
 */
#include <sim/kernel/vfs.h>

/* ── What is to be kept ────────────────────────────────────────────────────────────────────── */

static void hang_up(struct tdw_fsync *sync)
{
    struct tdw_fsync **at = &sync->file->inode->syncs;

    while (*at)
        at = &(*at)->next;
    *at = sync;
}

static void take_down(struct tdw_fsync *sync)
{
    struct tdw_fsync **at = &sync->file->inode->syncs;

    while (*at && *at != sync)
        at = &(*at)->next;
    if (*at)
        *at = sync->next;
}

static int begin(struct tdw_file *file, uint64_t off, uint64_t end, bool data_only,
                 struct tdw_fsync **begun)
{
    struct tdw_inode *inode = file->inode;
    struct tdw_fsync *sync = tdw__pool_get_zeroed(&inode->disk->syncs);

    if (!sync)
        return -ENOMEM;
    if (tdw__is_reg(inode) && tdw__pages_record(inode, off, end, &sync->pages)) {
        tdw__pages_unrecord(inode, &sync->pages);
        tdw__pool_put(&inode->disk->syncs, sync);
        return -ENOMEM;
    }
    sync->file = file;
    file->refs++;
    sync->attributes = inode->now;
    sync->xattrs = tdw__xattrs_ref(inode->xattrs_now);
    sync->pattern = tdw__is_reg(inode) ? inode->pages.pattern_now : 0;
    sync->names = inode->disk->names_dirtied;
    sync->change = inode->disk->changes;
    sync->off = off;
    sync->end = end;
    sync->data_only = data_only;
    hang_up(sync);
    *begun = sync;
    return 0;
}

/* The oldest sync under way becomes durable. */
static void apply_first(struct tdw_inode *inode)
{
    struct tdw_fsync *sync = inode->syncs;

    inode->syncs = sync->next;
    sync->next = NULL;
    inode->disk->shown++;
    if (tdw__is_reg(inode) && inode->disk->no_barriers)
        tdw__pages_flushed(inode, sync->off, sync->end, sync->change);
    else if (tdw__is_reg(inode))
        tdw__pages_apply(inode, &sync->pages, sync->pattern, sync->change);
    if (tdw__is_dir(inode) && !inode->disk->log)
        tdw__names_keep(inode, sync->names);
    tdw__names_sync(inode, sync->attributes.size, sync->change, sync->data_only);
    tdw__inode_keep_attributes(inode, &sync->attributes, sync->change, sync->data_only);
    if (sync->data_only)
        return;
    tdw__xattrs_put(inode->xattrs_kept);
    inode->xattrs_kept = sync->xattrs;
    sync->xattrs = NULL;
}

static bool under_way(const struct tdw_fsync *sync)
{
    const struct tdw_fsync *other = sync->file->inode->syncs;

    while (other && other != sync)
        other = other->next;
    return other != NULL;
}

void tdw__syncs_apply(struct tdw_inode *inode, uint64_t change)
{
    while (inode->syncs && inode->syncs->change <= change)
        apply_first(inode);
}

/* ── The row ───────────────────────────────────────────────────────────────────────────────── */

static int start_fsync(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const int64_t end = (int64_t)(sqe->off + sqe->len); /* inclusive; none: to the end */
    struct tdw_file *file = tdw__op_file(process, op);
    struct tdw_fsync *sync = NULL;
    int err;

    if (sqe->fsync_flags & ~(uint32_t)IORING_FSYNC_DATASYNC || sqe->addr || sqe->buf_index)
        return -EINVAL;
    if (!file)
        return -EBADF;
    if (file->kind != &tdw__kind_reg && file->kind != &tdw__kind_dir)
        return -EINVAL;
    err = begin(file, (int64_t)sqe->off > 0 ? sqe->off : 0,
                end > 0 && end < INT64_MAX ? (uint64_t)end + 1 : INT64_MAX,
                sqe->fsync_flags & IORING_FSYNC_DATASYNC, &sync);
    *object = sync;
    return err;
}

/* What comes of a sync; a failure is counted. */
static enum tdw_sync_fate fate_of(struct tdw_process *process, const struct tdw_op *op,
                                  struct tdw_file *file)
{
    const enum tdw_sync_fate fate = TDW_UNLIKELY(process->ring.loop->gate != NULL)
                                        ? tdw__damage_sync(process, op, file)
                                        : TDW_SYNC_KEEPS;

    file->inode->sync_errors += fate == TDW_SYNC_DROPS || fate == TDW_SYNC_FAILS;
    return fate;
}

/* Each open file is told once of what failed. */
static int32_t told(struct tdw_file *file)
{
    if (TDW_LIKELY(file->sync_errors == file->inode->sync_errors))
        return 0;
    file->sync_errors = file->inode->sync_errors;
    return -EIO;
}

int32_t tdw__sync_write(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                        uint64_t off, uint64_t end, bool data_only)
{
    const enum tdw_sync_fate fate = fate_of(process, op, file);

    if (TDW_LIKELY(fate == TDW_SYNC_KEEPS))
        tdw__inode_keep(file->inode, off, end, data_only);
    else if (fate == TDW_SYNC_DROPS)
        for (uint64_t at = off / TDW_PAGE_BYTES; at * TDW_PAGE_BYTES < end; at++)
            tdw__page_lose(file->inode, at);
    return told(file);
}

static int32_t effect_fsync(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_fsync *sync = object;
    struct tdw_file *file = sync->file;
    enum tdw_sync_fate fate;

    if (tdw__disk_writable(file->disk))
        return -EROFS;
    fate = fate_of(process, op, file);
    if (TDW_LIKELY(fate == TDW_SYNC_KEEPS))
        while (under_way(sync))
            apply_first(file->inode);
    else if (fate == TDW_SYNC_DROPS && tdw__is_reg(file->inode))
        tdw__pages_lose(file->inode, sync->pages);
    return told(file);
}

static void release_fsync(struct tdw_process *process, void *object)
{
    struct tdw_fsync *sync = object;
    struct tdw_file *file = sync->file;
    struct tdw_disk *disk = file->disk;

    (void)process;
    take_down(sync);
    tdw__pages_unrecord(file->inode, &sync->pages);
    tdw__xattrs_put(sync->xattrs);
    tdw__pool_put(&disk->syncs, sync);
    tdw__file_put(file);
}

const struct tdw_sim_opcode tdw__row_fsync = {start_fsync, NULL, effect_fsync, release_fsync,
                                              TDW_SPLITS};
