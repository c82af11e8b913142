/* SPDX-License-Identifier: MIT */
/*
 * Inodes: files, directories, symlinks and devices, whatever their names are.
 *
 * An inode carries its attributes twice, now and kept. A new one is kept as an empty file of its
 * mode: so a name that was made durable leads to an empty file when the file itself never was.
 * Size and times of a symlink or directory follow the same rule; a symlink's target is there from
 * the beginning, like the inline target of a real disk.
 *
 * Invariant: after each call that takes a name or a pin away, tdw__inode_settle was called, and
 * the inode is gone if neither a name, now or kept, nor a pin is left. While only a kept name
 * leads to it, its volatile content is forgotten: no program will see it again.
 *
 * Called by dir.c (names lost), desc.c (pins lost), io.c and sys.c (sizes, durability).
 */
#include <sim/kernel/vfs.h>
#include <stdlib.h>
#include <string.h>

struct tdw_inode *tdw__inode_new(struct tdw_disk *disk, uint32_t mode, uint64_t now_ns)
{
    struct tdw_inode *inode = tdw__pool_get_zeroed(&disk->inodes);

    if (!inode)
        return NULL;
    inode->disk = disk;
    inode->number = disk->inode_next++;
    inode->now = (struct tdw_attributes){.size = S_ISDIR(mode) ? TDW_PAGE_BYTES : 0,
                                         .atime_ns = now_ns,
                                         .mtime_ns = now_ns,
                                         .ctime_ns = now_ns,
                                         .mode = mode};
    inode->kept = inode->now;
    inode->btime_ns = now_ns;
    inode->next = disk->inodes_all;
    if (inode->next)
        inode->next->prev = inode;
    disk->inodes_all = inode;
    if (S_ISDIR(mode))
        inode->names.cookie_next = 2; /* after "." and ".." */
    return inode;
}

void tdw__inode_free(struct tdw_inode *inode)
{
    struct tdw_disk *disk = inode->disk;

    tdw__xattrs_put(inode->xattrs_now);
    tdw__xattrs_put(inode->xattrs_kept);
    tdw__sizes_drop(inode, UINT64_MAX);
    tdw__damage_free(inode);
    if (tdw__is_reg(inode))
        tdw__pages_free(inode);
    else if (tdw__is_lnk(inode))
        free(inode->target);
    if (inode->prev)
        inode->prev->next = inode->next;
    else
        disk->inodes_all = inode->next;
    if (inode->next)
        inode->next->prev = inode->prev;
    tdw__pool_put(&disk->inodes, inode);
}

void tdw__unpin(struct tdw_inode *inode)
{
    assert(inode->pins > 0);
    inode->pins--;
    tdw__inode_settle(inode);
}

/* No program can see it again, unless the power goes and a kept name comes back. */
static void forget(struct tdw_inode *inode)
{
    if (inode->forgotten)
        return;
    inode->forgotten = true;
    if (!inode->disk->log) { /* else what it is now may come back, too */
        inode->now = inode->kept;
        tdw__xattrs_revert(inode);
        if (tdw__is_reg(inode))
            tdw__pages_revert(inode);
    }
    if (tdw__is_reg(inode))
        tdw__pages_uncount(inode);
}

void tdw__inode_revert(struct tdw_inode *inode)
{
    inode->now = inode->kept;
    tdw__sizes_drop(inode, UINT64_MAX);
    tdw__xattrs_revert(inode);
    if (tdw__is_reg(inode)) {
        tdw__pages_revert(inode);
        if (inode->forgotten)
            tdw__pages_recount(inode);
    } else if (tdw__is_dir(inode)) {
        tdw__names_revert(inode);
    }
    inode->forgotten = false;
}

void tdw__inode_settle(struct tdw_inode *inode)
{
    if (inode->links_now > 0)
        return;
    if (inode->links_kept == 0 && inode->log_pins == 0 && tdw__is_dir(inode)) {
        tdw__pin(inode); /* its children let go of it meanwhile */
        tdw__names_purge(inode);
        inode->pins--;
    }
    if (inode->pins > 0)
        return;
    if (inode->links_kept > 0 || inode->log_pins > 0) {
        forget(inode);
        return;
    }
    if (tdw__is_dir(inode) && inode->names.parent) {
        struct tdw_inode *parent = inode->names.parent;

        inode->names.parent = NULL;
        tdw__unpin(parent);
    }
    tdw__inode_free(inode);
}

uint32_t tdw__inode_links(const struct tdw_inode *inode)
{
    if (!tdw__is_dir(inode))
        return inode->links_now;
    return inode->links_now ? 2 + inode->names.subdirs : 0;
}

int tdw__inode_resize(struct tdw_inode *inode, uint64_t size, uint64_t now_ns)
{
    if (size > inode->disk->file_bytes_max)
        return -EFBIG;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    if (size < inode->now.size) {
        const int err = tdw__pages_cut(inode, size);

        if (err)
            return err;
    }
    tdw__inode_set_size(inode, size);
    inode->now.mtime_ns = inode->now.ctime_ns = now_ns;
    return 0;
}

void tdw__inode_set_size(struct tdw_inode *inode, uint64_t size)
{
    inode->now.size = size;
    if (TDW_UNLIKELY(inode->disk->log))
        tdw__size_add(inode);
}

void tdw__inode_keep(struct tdw_inode *inode, uint64_t off, uint64_t end, bool data_only)
{
    inode->disk->shown++;
    tdw__syncs_apply(inode, UINT64_MAX);
    tdw__pages_keep(inode, off, end);
    tdw__names_sync(inode, inode->now.size, inode->disk->changes, data_only);
    tdw__inode_keep_attributes(inode, &inode->now, inode->disk->changes, data_only);
    if (data_only)
        return;
    if (TDW_UNLIKELY(inode->xattrs_now != inode->xattrs_kept))
        tdw__xattrs_keep(inode);
}

void tdw__inode_keep_attributes(struct tdw_inode *inode, const struct tdw_attributes *attributes,
                                uint64_t change, bool size_only)
{
    const uint64_t size = inode->kept.size;

    if (!size_only)
        inode->kept = *attributes;
    if (inode->disk->no_barriers) {
        inode->kept.size = size;
        tdw__sizes_flushed(inode, change);
    } else {
        inode->kept.size = attributes->size;
        tdw__sizes_drop(inode, change);
    }
    if (tdw__is_reg(inode) && TDW_UNLIKELY(inode->pages.lost))
        tdw__pages_trim(inode); /* all others have been kept */
}

static struct statx_timestamp timestamp(uint64_t ns)
{
    return (struct statx_timestamp){.tv_sec = (int64_t)(ns / 1000000000u),
                                    .tv_nsec = (uint32_t)(ns % 1000000000u)};
}

void tdw__inode_statx(const struct tdw_inode *inode, struct statx *stat)
{
    const struct tdw_attributes *a = &inode->now;

    *stat = (struct statx){
        .stx_mask = STATX_BASIC_STATS | STATX_BTIME,
        .stx_blksize = TDW_PAGE_BYTES,
        .stx_nlink = tdw__inode_links(inode),
        .stx_uid = a->uid,
        .stx_gid = a->gid,
        .stx_mode = (uint16_t)a->mode,
        .stx_ino = inode->number,
        .stx_size = a->size,
        .stx_atime = timestamp(a->atime_ns),
        .stx_btime = timestamp(inode->btime_ns),
        .stx_ctime = timestamp(a->ctime_ns),
        .stx_mtime = timestamp(a->mtime_ns),
        .stx_dev_major = 8,
        .stx_dev_minor = 1,
    };
    if (S_ISREG(a->mode)) {
        stat->stx_blocks = inode->pages.allocated * (TDW_PAGE_BYTES / 512);
    } else if (S_ISDIR(a->mode)) {
        stat->stx_blocks = TDW_PAGE_BYTES / 512;
    } else if (S_ISCHR(a->mode)) {
        stat->stx_rdev_major = 1;
        stat->stx_rdev_minor = inode->device;
    }
}
