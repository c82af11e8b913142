/* SPDX-License-Identifier: MIT */
/*
 * The rows that work by name: STATX UNLINKAT RENAMEAT MKDIRAT LINKAT SYMLINKAT.
 *
 * All of them do their work at the effect: paths and directory descriptors are resolved then, as
 * a kernel's worker does, so a concurrent rename or close is seen or not as the schedule says.
 * Each row first looks up everything, then checks in Linux's order, then changes: a refusal
 * leaves no trace. Memory that runs out on the way is given back.
 *
 * Permissions are stored and shown, not enforced: everything runs as uid 0.
 */
#include <sim/kernel/vfs.h>
#include <linux/fs.h>
#include <string.h>

/* ── STATX ─────────────────────────────────────────────────────────────────────────────────── */

static int start_statx(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const uint32_t flags = op->sqe.statx_flags;
    int err;

    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    err = tdw__path_check(tdw__pointer(op->sqe.addr), flags & AT_EMPTY_PATH);
    if (err)
        return err;
    if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
                            AT_STATX_SYNC_TYPE) ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || op->sqe.len & STATX__RESERVED)
        return -EINVAL;
    return op->sqe.off ? 0 : -EFAULT;
}

/* fstat of what has no inode. */
static void file_statx(const struct tdw_file *file, struct statx *stat)
{
    *stat = (struct statx){.stx_mask = STATX_BASIC_STATS,
                           .stx_blksize = TDW_PAGE_BYTES,
                           .stx_nlink = 1,
                           .stx_mode = (uint16_t)file->kind->mode,
                           .stx_ino = file->number};
}

static int32_t effect_statx(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_files *files = process->files;
    const uint32_t flags = op->sqe.statx_flags;
    const char *path = tdw__pointer(op->sqe.addr);
    struct statx *stat = tdw__pointer(op->sqe.off);
    const struct tdw_file *file;
    struct tdw_walk walk;
    int err;

    (void)object;
    file = *path || op->sqe.fd == AT_FDCWD ? NULL : tdw__fd_any(files, op->sqe.fd);
    if (file && !file->inode) {
        file_statx(file, stat);
        return 0;
    }
    err = tdw__walk_existing(files, op->sqe.fd, path,
                             (flags & AT_SYMLINK_NOFOLLOW ? 0u : TDW_WALK_FOLLOW) |
                                 (flags & AT_EMPTY_PATH ? TDW_WALK_EMPTY : 0u),
                             &walk);
    if (!err)
        tdw__inode_statx(walk.inode, stat);
    return err;
}

/* ── UNLINKAT ──────────────────────────────────────────────────────────────────────────────── */

static int start_unlinkat(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (op->sqe.unlink_flags & ~(uint32_t)AT_REMOVEDIR || op->sqe.off || op->sqe.len)
        return -EINVAL;
    return tdw__path_check(tdw__pointer(op->sqe.addr), false);
}

static int check_rmdir(struct tdw_walk *walk)
{
    int err;

    switch (walk->last) {
    case TDW_LAST_DOTDOT:
        return -ENOTEMPTY;
    case TDW_LAST_DOT:
        return -EINVAL;
    case TDW_LAST_ROOT:
        return -EBUSY;
    case TDW_LAST_NAME:
        break;
    }
    err = tdw__walk_last(walk);
    if (err)
        return err;
    if (!walk->inode)
        return -ENOENT;
    if (!tdw__is_dir(walk->inode))
        return -ENOTDIR;
    return walk->inode->names.count > 0 ? -ENOTEMPTY : 0;
}

static int check_unlink(struct tdw_walk *walk)
{
    int err;

    if (walk->last != TDW_LAST_NAME)
        return -EISDIR;
    err = tdw__walk_last(walk);
    if (err)
        return err;
    if (!walk->inode)
        return -ENOENT;
    if (tdw__is_dir(walk->inode))
        return -EISDIR;
    return walk->slash ? -ENOTDIR : 0;
}

static int32_t effect_unlinkat(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_files *files = process->files;
    struct tdw_walk walk;
    int err = tdw__walk(files, op->sqe.fd, tdw__pointer(op->sqe.addr), TDW_WALK_PARENT, &walk);

    (void)object;
    if (!err)
        err = op->sqe.unlink_flags & AT_REMOVEDIR ? check_rmdir(&walk) : check_unlink(&walk);
    if (!err)
        err = tdw__disk_writable(files->disk);
    if (!err)
        tdw__name_remove(walk.name, tdw__now(process));
    return err;
}

/* ── RENAMEAT ──────────────────────────────────────────────────────────────────────────────── */

static int start_renameat(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const uint32_t flags = op->sqe.rename_flags;
    const uint32_t both = RENAME_NOREPLACE | RENAME_EXCHANGE;
    int err;

    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (flags & ~both || (flags & both) == both)
        return -EINVAL;
    err = tdw__path_check(tdw__pointer(op->sqe.addr), false);
    return err ? err : tdw__path_check(tdw__pointer(op->sqe.addr2), false);
}

/* What the kinds of both names and their trailing slashes allow. */
static int check_rename_kinds(const struct tdw_walk *from, const struct tdw_walk *to,
                              uint32_t flags)
{
    if (flags & RENAME_NOREPLACE && to->inode)
        return -EEXIST;
    if (flags & RENAME_EXCHANGE) {
        if (!to->inode)
            return -ENOENT;
        if (!tdw__is_dir(to->inode) && to->slash)
            return -ENOTDIR;
    }
    if (!tdw__is_dir(from->inode) && (from->slash || (!(flags & RENAME_EXCHANGE) && to->slash)))
        return -ENOTDIR;
    return 0;
}

/* Neither side may be above the other. */
static int check_rename_places(const struct tdw_walk *from, const struct tdw_walk *to,
                               uint32_t flags)
{
    if (from->dir == to->dir)
        return 0;
    if (tdw__is_dir(from->inode) && tdw__names_below(from->inode, to->dir))
        return -EINVAL;
    if (to->inode && tdw__is_dir(to->inode) && tdw__names_below(to->inode, from->dir))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int check_rename_target(const struct tdw_walk *from, const struct tdw_walk *to)
{
    if (!to->inode)
        return 0;
    if (tdw__is_dir(from->inode) != tdw__is_dir(to->inode))
        return tdw__is_dir(to->inode) ? -EISDIR : -ENOTDIR;
    return tdw__is_dir(to->inode) && to->inode->names.count > 0 ? -ENOTEMPTY : 0;
}

/* Both places, and then both names. */
static int walk_rename(const struct tdw_files *files, const struct tdw_op *op,
                       struct tdw_walk *from, struct tdw_walk *to)
{
    int err = tdw__walk(files, op->sqe.fd, tdw__pointer(op->sqe.addr), TDW_WALK_PARENT, from);

    if (!err)
        err = tdw__walk(files, (int)op->sqe.len, tdw__pointer(op->sqe.addr2), TDW_WALK_PARENT, to);
    if (err)
        return err;
    if (from->last != TDW_LAST_NAME)
        return -EBUSY;
    if (to->last != TDW_LAST_NAME)
        return op->sqe.rename_flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    err = tdw__walk_last(from);
    if (err)
        return err;
    return from->inode ? tdw__walk_last(to) : -ENOENT;
}

static int32_t effect_renameat(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const uint32_t flags = op->sqe.rename_flags;
    struct tdw_walk from, to;
    int err = walk_rename(process->files, op, &from, &to);

    (void)object;
    if (!err)
        err = check_rename_kinds(&from, &to, flags);
    if (!err)
        err = check_rename_places(&from, &to, flags);
    if (!err)
        err = tdw__disk_writable(process->files->disk);
    if (err || from.inode == to.inode)
        return err;
    if (flags & RENAME_EXCHANGE) {
        tdw__name_exchange(from.name, to.name, tdw__now(process));
        return 0;
    }
    err = check_rename_target(&from, &to);
    return err ? err : tdw__name_move(from.name, to.dir, to.text, to.bytes, tdw__now(process));
}

/* ── MKDIRAT, LINKAT, SYMLINKAT ────────────────────────────────────────────────────────────── */

/* Where a new name is to go. Only a directory's may end in a slash. */
static int walk_new(const struct tdw_files *files, int dirfd, uint64_t path, bool dir,
                    struct tdw_walk *walk)
{
    int err = tdw__walk(files, dirfd, tdw__pointer(path), TDW_WALK_PARENT, walk);

    if (err)
        return err;
    if (walk->last != TDW_LAST_NAME)
        return -EEXIST;
    err = tdw__walk_last(walk);
    if (err)
        return err;
    if (walk->inode)
        return -EEXIST;
    return walk->slash && !dir ? -ENOENT : tdw__disk_writable(files->disk);
}

int tdw__make_node(struct tdw_process *process, const char *path, uint32_t mode,
                   struct tdw_inode **inode)
{
    struct tdw_files *files = process->files;
    struct tdw_walk walk;
    int err = walk_new(files, AT_FDCWD, (uintptr_t)path, false, &walk);

    if (err)
        return err;
    *inode = tdw__inode_new(files->disk, mode & ~files->umask, tdw__now(process));
    if (!*inode)
        return -ENOMEM;
    err = tdw__name_put(walk.dir, walk.text, walk.bytes, *inode, tdw__now(process));
    if (err)
        tdw__inode_settle(*inode);
    return err;
}

static int start_mkdirat(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (op->sqe.off || op->sqe.rw_flags || op->sqe.buf_index)
        return -EINVAL;
    return tdw__path_check(tdw__pointer(op->sqe.addr), false);
}

static int32_t effect_mkdirat(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const uint32_t mode = S_IFDIR | (op->sqe.len & 01777 & ~process->files->umask);
    struct tdw_inode *inode;
    struct tdw_walk walk;
    int err = walk_new(process->files, op->sqe.fd, op->sqe.addr, true, &walk);

    (void)object;
    if (err)
        return err;
    inode = tdw__inode_new(process->files->disk, mode, tdw__now(process));
    if (!inode)
        return -ENOMEM;
    err = tdw__name_put(walk.dir, walk.text, walk.bytes, inode, tdw__now(process));
    if (err)
        tdw__inode_settle(inode);
    return err;
}

static int start_linkat(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const uint32_t flags = op->sqe.hardlink_flags;
    int err;

    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    err = tdw__path_check(tdw__pointer(op->sqe.addr), flags & AT_EMPTY_PATH);
    return err ? err : tdw__path_check(tdw__pointer(op->sqe.addr2), false);
}

static int32_t effect_linkat(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_files *files = process->files;
    const uint32_t flags = op->sqe.hardlink_flags;
    struct tdw_walk from, to;
    int err = tdw__walk_existing(files, op->sqe.fd, tdw__pointer(op->sqe.addr),
                                 (flags & AT_SYMLINK_FOLLOW ? TDW_WALK_FOLLOW : 0u) |
                                     (flags & AT_EMPTY_PATH ? TDW_WALK_EMPTY : 0u),
                                 &from);

    const bool elsewhere = err == -EXDEV; /* told only when the new place is looked up */

    (void)object;
    if (!err || elsewhere)
        err = walk_new(files, (int)op->sqe.len, op->sqe.addr2, false, &to);
    if (err || elsewhere)
        return err ? err : -EXDEV;
    if (tdw__is_dir(from.inode))
        return -EPERM;
    if (from.inode->links_now == 0 && !from.inode->linkable)
        return -ENOENT;
    if (from.inode->links_now >= TDW_LINKS_MAX)
        return -EMLINK;
    err = tdw__name_put(to.dir, to.text, to.bytes, from.inode, tdw__now(process));
    if (!err)
        from.inode->linkable = false;
    return err;
}

static int start_symlinkat(struct tdw_process *process, struct tdw_op *op, void **object)
{
    int err;

    (void)process, (void)object;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (op->sqe.len || op->sqe.rw_flags || op->sqe.buf_index)
        return -EINVAL;
    err = tdw__path_check(tdw__pointer(op->sqe.addr), false);
    return err ? err : tdw__path_check(tdw__pointer(op->sqe.addr2), false);
}

static int32_t effect_symlinkat(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const char *target = tdw__pointer(op->sqe.addr);
    struct tdw_inode *inode;
    struct tdw_walk walk;
    int err = walk_new(process->files, op->sqe.fd, op->sqe.addr2, false, &walk);

    (void)object;
    if (err)
        return err;
    inode = tdw__inode_new(process->files->disk, S_IFLNK | 0777, tdw__now(process));
    if (!inode)
        return -ENOMEM;
    inode->target = strdup(target);
    inode->now.size = inode->kept.size = strlen(target);
    err = inode->target ? tdw__name_put(walk.dir, walk.text, walk.bytes, inode, tdw__now(process))
                        : -ENOMEM;
    if (err)
        tdw__inode_settle(inode);
    return err;
}

const struct tdw_sim_opcode tdw__row_statx = {start_statx, NULL, effect_statx, NULL, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_unlinkat = {start_unlinkat, NULL, effect_unlinkat, NULL,
                                                 TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_renameat = {start_renameat, NULL, effect_renameat, NULL,
                                                 TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_mkdirat = {start_mkdirat, NULL, effect_mkdirat, NULL,
                                                TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_linkat = {start_linkat, NULL, effect_linkat, NULL, TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_symlinkat = {start_symlinkat, NULL, effect_symlinkat, NULL,
                                                  TDW_SPLITS};
