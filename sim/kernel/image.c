/* SPDX-License-Identifier: MIT */
/*
 * Images: what a power cut now would leave of a disk, as a disk of its own, while the first goes
 * on.
 *
 *     disk ── copied with its log ──▶ image ── power cut (survive.c) ──▶ what a host may boot from
 *
 * A crash test that kills the run sees one crash a run. With images a run is crashed at every point
 * at which that could make a difference, and goes on; so the cost is linear in the length of the
 * run.
 *
 * An image is in the memory of another world. Its files borrow the trees and blocks of the first
 * disk as long as they are only read: a clean file costs its inode and its names, whatever its
 * size. So it is good only as long as the first disk is left alone.
 *
 * Cost: an inode and a name are some 100 ns each, dirty pages a copy of the tree of their file.
 * Called by recovery.c.
 */
#define XXH_INLINE_ALL
#include <sim/kernel/vfs.h>
#include <string.h>
#include <xxhash.h>

static bool image_sizes(struct tdw_inode *to, const struct tdw_inode *from)
{
    struct tdw_size **at = &to->sizes;

    *at = NULL;
    for (const struct tdw_size *size = from->sizes; size; size = size->older) {
        *at = tdw__pool_get(&to->disk->sizes);
        if (!*at)
            return false;
        **at = *size;
        (*at)->older = NULL;
        at = &(*at)->older;
    }
    return true;
}

/* `from` on the image, behind `last`. Who held or locked it is not there. */
static struct tdw_inode *image_inode(struct tdw_disk *disk, struct tdw_inode *from,
                                     struct tdw_inode *last)
{
    struct tdw_inode *to = tdw__pool_get(&disk->inodes);

    if (!to)
        return NULL;
    *to = *from;
    from->image = to;
    to->disk = disk;
    to->prev = last;
    to->next = NULL;
    if (last)
        last->next = to;
    else
        disk->inodes_all = to;
    to->xattrs_now = tdw__xattrs_ref(from->xattrs_now);
    to->xattrs_kept = tdw__xattrs_ref(from->xattrs_kept);
    to->syncs = NULL;
    to->damage = NULL;
    to->log_pins = 0; /* image_ops counts */
    to->locks = to->flocks = NULL;
    to->lock_queue = (struct tdw_waitq){0};
    to->lost_next = NULL;
    if (tdw__is_dir(from))
        to->names = (struct tdw_names){.cookie_next = from->names.cookie_next};
    else if (tdw__is_lnk(from))
        to->target = strdup(from->target);
    else if (S_ISFIFO(from->now.mode))
        to->pipe = NULL;
    if (!image_sizes(to, from) || !tdw__damage_copy(to, from) ||
        (tdw__is_lnk(from) && !to->target) || (tdw__is_reg(from) && tdw__pages_image(to, from)))
        return NULL;
    return to;
}

static bool image_inodes(struct tdw_disk *to, struct tdw_disk *from)
{
    struct tdw_inode *last = NULL;

    for (struct tdw_inode *inode = from->inodes_all; inode; inode = inode->next) {
        last = image_inode(to, inode, last);
        if (!last)
            return false;
    }
    to->root = from->root->image;
    to->root->names.parent = to->root;
    return true;
}

static bool image_names(struct tdw_disk *from)
{
    for (struct tdw_inode *dir = from->inodes_all; dir; dir = dir->next)
        for (struct tdw_name *name = tdw__is_dir(dir) ? dir->names.head : NULL; name;
             name = name->next)
            if (!tdw__name_image(dir->image, name))
                return false;
    return true;
}

/* The operations on names, which hold what they name as those of the first disk do. */
static bool image_ops(struct tdw_disk *to, const struct tdw_disk *from)
{
    for (const struct tdw_name_op *op = from->op_first; op; op = op->next) {
        to->changes = op->change - 1;
        tdw__name_op_begin(to);
        if (!to->op_open)
            return false;
        to->op_open->flushed = op->flushed;
        to->op_open->flushes = op->flushes ? op->flushes->image : NULL;
        if (op->removes)
            tdw__name_op_removes(to, op->removes->image);
        for (const struct tdw_name_change *change = op->changes; change; change = change->next)
            tdw__name_op_change(change->name->image, change->inode ? change->inode->image : NULL);
        to->op_open->moves_dir = op->moves_dir;
        tdw__name_op_end(to);
    }
    to->changes = from->changes;
    return true;
}

struct tdw_disk *tdw__disk_image(struct tdw_disk *disk, struct tdw_memory *memory,
                                 struct tdw_survival *survival)
{
    struct tdw_disk *to = tdw__disk_bare(memory, disk->bucket_mask + 1);

    if (!to)
        return NULL;
    to->profile = disk->profile;
    to->no_barriers = disk->no_barriers;
    to->log = disk->log;
    to->inode_next = disk->inode_next;
    to->names_changed = disk->names_changed;
    to->seed = disk->seed;
    to->full_error = disk->full_error;
    to->whole_blocks = disk->whole_blocks;
    to->bytes_max = disk->bytes_max;
    to->file_bytes_max = disk->file_bytes_max;
    to->pages_used = disk->pages_used;
    if (!image_inodes(to, disk) || !image_names(disk) || !image_ops(to, disk)) {
        tdw__disk_free(to);
        return NULL;
    }
    tdw__disk_crash(to, survival);
    return to;
}

/* ── What is on it ─────────────────────────────────────────────────────────────────────────── */

static uint64_t hash_content(struct tdw_inode *inode, uint64_t hash)
{
    uint8_t bytes[TDW_PAGE_BYTES];

    for (const struct tdw_damage *damage = inode->damage; damage; damage = damage->next) {
        const uint64_t what[2] = {damage->sector, damage->rot};

        hash = XXH3_64bits_withSeed(what, sizeof what, hash);
    }

    for (uint64_t off = 0; off < inode->now.size; off += sizeof bytes) {
        const uint64_t left = inode->now.size - off;
        const size_t part = left < sizeof bytes ? (size_t)left : sizeof bytes;

        tdw__pages_read(inode, off, bytes, part);
        hash = XXH3_64bits_withSeed(bytes, part, hash);
    }
    return hash;
}

/* What a name leads to: `path` is the hash of the way to it. */
static uint64_t hash_inode(struct tdw_inode *inode, uint64_t path)
{
    const uint64_t head[4] = {path, inode->now.mode, inode->now.size, inode->links_now};
    const uint64_t hash = XXH3_64bits(head, sizeof head);

    if (tdw__is_reg(inode))
        return hash_content(inode, hash);
    return tdw__is_lnk(inode) ? XXH3_64bits_withSeed(inode->target, inode->now.size, hash) : hash;
}

uint64_t tdw__disk_hash(struct tdw_disk *disk)
{
    struct tdw_inode *dir = disk->root;
    struct tdw_name *name = dir->names.head;
    uint64_t sum = 0; /* in any order: each part has the hash of its path */

    dir->path_hash = 0;
    for (;;) {
        uint64_t path;

        while (!name && dir != disk->root) { /* back up, as in mark() of disk.c */
            name = dir->names.self->next;
            dir = dir->names.parent;
        }
        if (!name)
            return sum;
        path = XXH3_64bits_withSeed(name->text, name->bytes, dir->path_hash);
        sum += hash_inode(name->now, path);
        if (!tdw__is_dir(name->now)) {
            name = name->next;
            continue;
        }
        dir = name->now;
        dir->path_hash = path;
        name = dir->names.head;
    }
}
