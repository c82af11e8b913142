/* SPDX-License-Identifier: MIT */
/*
 * What is not durable yet, change by change.
 *
 *     page   now ◀─ newest version ◀─ … ◀─ oldest ◀─ kept          each write leaves one
 *     size   now ◀─ newest ◀─ … ◀─ kept
 *     names  operation ─▶ operation ─▶ …                           of the whole disk, in order
 *
 * The two sides of a disk, now and kept, are enough to lose all that was not synced. A disk that
 * may keep some of it (disk.h) needs what was in between as well: an older write may have reached
 * it and a newer one not, a name may be there before the file it leads to. Every change has a
 * number, the same count for pages, sizes and names, so that they can be put in order.
 *
 * A version of a page is a reference to the block as it was, and the sectors that were changed: the
 * next write takes a copy of the block anyhow, since somebody else refers to it. An operation on
 * names is a list of (name, where it leads), applied to the kept side when it becomes durable.
 *
 * Syncs drop what they cover. With a drive that has no barriers they do not, they only mark it.
 *
 * Bounds: a page and a size have 16 versions. When there would be more the oldest are merged: the
 * newer of two takes the number of the older one, as if what is done by then had been done sooner,
 * in one piece. That is a state less, and none that could not be, as long as a truncation stays
 * together with the size that it made: so only writes to a page are merged alone, and anything else
 * with all that happened to the file meanwhile. Of operations on names 1,024 are kept; beyond that
 * the oldest becomes durable, as a journal that is full is written. Without memory for a version
 * the state is not one that a power cut may leave.
 *
 * Cost, where disk->log: a copied block and a version for each page that is written. Called by
 * page.c, inode.c, dir.c, fsync.c; survive.c reads it.
 */
#include <sim/kernel/vfs.h>
#include <string.h>

/* ── Pages ─────────────────────────────────────────────────────────────────────────────────── */

static void version_free(struct tdw_disk *disk, struct tdw_version *version)
{
    tdw__block_put(disk, version->block);
    tdw__pool_put(&disk->versions, version);
}

/* `newer` and the one before it become one. What only the older one was acknowledged for by the
 * drive has been drained to the disk. */
static void versions_merge(struct tdw_inode *inode, struct tdw_page *page,
                           struct tdw_version *newer)
{
    struct tdw_version *older = newer->older;

    if (older->flushed && !newer->flushed)
        tdw__page_set_kept(inode, page, older->block);
    newer->change = older->change;
    newer->sectors |= older->sectors;
    newer->cut |= older->cut;
    newer->older = older->older;
    version_free(inode->disk, older);
    page->versions--;
}

static void sizes_merge(struct tdw_inode *inode, struct tdw_size *newer)
{
    struct tdw_size *older = newer->older;

    if (older->flushed && !newer->flushed)
        tdw__size_keep(inode, older);
    newer->change = older->change;
    newer->least = older->least < newer->least ? older->least : newer->least;
    newer->older = older->older;
    tdw__pool_put(&inode->disk->sizes, older);
    inode->sizes_count--;
}

/* What happened to the file from `first` to `last` happened in one piece. */
static void collapse(struct tdw_inode *inode, uint64_t first, uint64_t last)
{
    for (struct tdw_page *page = inode->pages.dirty; page; page = page->next)
        for (struct tdw_version *at = page->newest; at; at = at->older) {
            if (at->change < first || at->change > last)
                continue;
            while (at->older && at->older->change >= first)
                versions_merge(inode, page, at);
            at->change = first;
        }
    for (struct tdw_size *at = inode->sizes; at; at = at->older) {
        if (at->change < first || at->change > last)
            continue;
        while (at->older && at->older->change >= first)
            sizes_merge(inode, at);
        at->change = first;
    }
}

/* Not while a sync is under way: what it covers has to stay apart from what it does not. */
static void versions_bound(struct tdw_inode *inode, struct tdw_page *page)
{
    while (page->versions > TDW_VERSIONS_MAX && !inode->syncs) {
        struct tdw_version *second = page->newest;

        while (second->older->older)
            second = second->older;
        if (second->cut)
            collapse(inode, second->older->change, second->change);
        else
            versions_merge(inode, page, second);
    }
}

/* Half of them at once: each time costs a look at all that is dirty. */
static void sizes_bound(struct tdw_inode *inode)
{
    const struct tdw_size *middle = inode->sizes, *oldest;

    if (inode->sizes_count <= TDW_SIZES_MAX || inode->syncs)
        return;
    for (uint32_t i = 0; i < TDW_SIZES_MAX / 2; i++)
        middle = middle->older;
    for (oldest = middle; oldest->older;)
        oldest = oldest->older;
    collapse(inode, oldest->change, middle->change);
}

void tdw__version_add(struct tdw_inode *inode, struct tdw_page *page, uint8_t sectors, bool cut)
{
    struct tdw_disk *disk = inode->disk;
    struct tdw_version *version = tdw__pool_get(&disk->versions);

    /* What a truncation does to pages is one change with the size that it makes, which comes next.
     */
    disk->changes += !cut;
    disk->shown++;
    if (!version)
        return;
    *version = (struct tdw_version){
        page->newest, tdw__block_ref(disk, page->now), disk->changes + cut, sectors, cut, false};
    page->newest = version;
    page->versions++;
    versions_bound(inode, page);
}

void tdw__versions_drop(struct tdw_disk *disk, struct tdw_page *page, uint64_t change)
{
    struct tdw_version **at = &page->newest;

    while (*at && (*at)->change > change)
        at = &(*at)->older;
    while (*at) {
        struct tdw_version *version = *at;

        *at = version->older;
        version_free(disk, version);
        page->versions--;
    }
}

void tdw__versions_lose(struct tdw_disk *disk, struct tdw_page *page)
{
    while (page->newest && !page->newest->flushed) {
        struct tdw_version *version = page->newest;

        page->newest = version->older;
        version_free(disk, version);
        page->versions--;
    }
}

const struct tdw_version *tdw__version_at(const struct tdw_page *page, uint64_t change)
{
    const struct tdw_version *version = page->newest;

    while (version && version->change > change)
        version = version->older;
    return version;
}

/* ── Sizes ─────────────────────────────────────────────────────────────────────────────────── */

void tdw__size_add(struct tdw_inode *inode)
{
    struct tdw_disk *disk = inode->disk;
    struct tdw_size *size = tdw__pool_get(&disk->sizes);

    disk->changes++;
    disk->shown++;
    if (!size)
        return;
    *size = (struct tdw_size){inode->sizes, disk->changes, inode->now.size, inode->now.size, false};
    inode->sizes = size;
    inode->sizes_count++;
    sizes_bound(inode);
}

void tdw__sizes_drop(struct tdw_inode *inode, uint64_t change)
{
    struct tdw_size **at = &inode->sizes;

    while (*at && (*at)->change > change)
        at = &(*at)->older;
    while (*at) {
        struct tdw_size *size = *at;

        *at = size->older;
        tdw__pool_put(&inode->disk->sizes, size);
        inode->sizes_count--;
    }
}

void tdw__version_keep(struct tdw_inode *inode, struct tdw_page *page,
                       const struct tdw_version *version)
{
    struct tdw_block *block = tdw__block_ref(inode->disk, version->block);

    tdw__versions_drop(inode->disk, page, version->change);
    if (TDW_UNLIKELY(inode->damage != NULL))
        tdw__damage_heal(inode, page->index, 0xff);
    tdw__page_set_kept(inode, page, block);
    tdw__block_put(inode->disk, block);
}

void tdw__size_keep(struct tdw_inode *inode, const struct tdw_size *size)
{
    inode->kept.size = size->bytes;
    for (; size; size = size->older)
        if (size->least < inode->pages.pattern_kept)
            inode->pages.pattern_kept = size->least;
}

/* All of a file up to `change`: pages as they were then, and the size. */
void tdw__inode_keep_upto(struct tdw_inode *inode, uint64_t change)
{
    const struct tdw_size *size = inode->sizes;

    if (!tdw__is_reg(inode))
        return;
    for (struct tdw_page *page = inode->pages.dirty, *next; page; page = next) {
        const struct tdw_version *version = tdw__version_at(page, change);

        next = page->next;
        if (version)
            tdw__version_keep(inode, page, version);
    }
    while (size && size->change > change)
        size = size->older;
    if (!size)
        return;
    tdw__size_keep(inode, size);
    tdw__sizes_drop(inode, change);
}

/* ── Names: the list of operations ─────────────────────────────────────────────────────────── */

static void op_unlink(struct tdw_disk *disk, struct tdw_name_op *op)
{
    if (op->prev)
        op->prev->next = op->next;
    else
        disk->op_first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        disk->op_last = op->prev;
    disk->ops--;
}

/* The operation lets go of what it names. `settle`: what nothing leads to any more goes. */
static void op_free(struct tdw_disk *disk, struct tdw_name_op *op, bool settle)
{
    op_unlink(disk, op);
    while (op->changes) {
        struct tdw_name_change *change = op->changes;
        struct tdw_inode *inode = change->inode, *dir = change->name->dir;

        op->changes = change->next;
        change->name->logged--;
        tdw__name_release(change->name);
        if (inode && --inode->log_pins == 0 && settle)
            tdw__inode_settle(inode);
        if (--dir->log_pins == 0 && settle)
            tdw__inode_settle(dir);
        tdw__pool_put(&disk->name_changes, change);
    }
    if (op->removes && --op->removes->log_pins == 0 && settle)
        tdw__inode_settle(op->removes);
    tdw__pool_put(&disk->name_ops, op);
}

void tdw__name_op_begin(struct tdw_disk *disk)
{
    if (!disk->log)
        return;
    disk->changes++;
    disk->shown++;
    disk->op_open = tdw__pool_get_zeroed(&disk->name_ops);
    if (disk->op_open)
        disk->op_open->change = disk->changes;
}

void tdw__name_op_change(struct tdw_name *name, struct tdw_inode *inode)
{
    struct tdw_disk *disk = name->dir->disk;
    struct tdw_name_op *op = disk->op_open;
    struct tdw_name_change *change = op ? tdw__pool_get(&disk->name_changes) : NULL;

    if (!change)
        return;
    op->moves_dir |= op->changes && inode && tdw__is_dir(inode);
    op->moves_dir |= op->changes && op->changes->inode && tdw__is_dir(op->changes->inode);
    *change = (struct tdw_name_change){op->changes, name, inode};
    op->changes = change;
    name->logged++;
    name->dir->log_pins++;
    if (inode)
        inode->log_pins++;
}

void tdw__name_op_flushes(struct tdw_disk *disk, struct tdw_inode *inode)
{
    if (disk->op_open && (disk->profile == TDW_EXT4 || disk->profile == TDW_NO_BARRIERS))
        disk->op_open->flushes = inode;
}

void tdw__name_op_removes(struct tdw_disk *disk, struct tdw_inode *dir)
{
    if (!disk->op_open)
        return;
    disk->op_open->removes = dir;
    dir->log_pins++;
}

void tdw__name_op_end(struct tdw_disk *disk)
{
    struct tdw_name_op *op = disk->op_open;

    if (!op)
        return;
    disk->op_open = NULL;
    op->prev = disk->op_last;
    if (op->prev)
        op->prev->next = op;
    else
        disk->op_first = op;
    disk->op_last = op;
    if (++disk->ops > TDW_NAME_OPS_MAX)
        tdw__names_commit(disk, disk->op_first->change);
}

/* ── Names: operations become durable ──────────────────────────────────────────────────────── */

static void op_commit(struct tdw_disk *disk, struct tdw_name_op *op)
{
    struct tdw_inode *lost = NULL;

    if (op->flushes) {
        tdw__syncs_apply(op->flushes, op->change); /* else they take it back when they end */
        tdw__inode_keep_upto(op->flushes, op->change);
    }
    for (struct tdw_name_change *change = op->changes; change; change = change->next)
        tdw__name_keep_as(change->name, change->inode, &lost);
    op_free(disk, op, true);
    tdw__names_unpin(lost);
}

void tdw__names_commit(struct tdw_disk *disk, uint64_t upto)
{
    while (disk->op_first && disk->op_first->change <= upto)
        op_commit(disk, disk->op_first);
}

/* An operation stands on those before it that changed one of its names, or gave a directory in
 * which one is its place; a removal of a directory on those that emptied it; and a move of a
 * directory on all such moves before it, so that no circle can be left. Whatever becomes durable
 * does so with all that it stands on. */
static bool is_blocked(const struct tdw_name_op *op, bool moves)
{
    bool blocked = (op->moves_dir && moves) || (op->removes && op->removes->blocked_below);

    for (const struct tdw_name_change *change = op->changes; change; change = change->next)
        blocked |= change->name->blocked || change->name->dir->blocked;
    return blocked;
}

static void unblock(struct tdw_disk *disk)
{
    for (struct tdw_name_op *op = disk->op_first; op; op = op->next) {
        if (op->removes)
            op->removes->blocked_below = false;
        for (struct tdw_name_change *change = op->changes; change; change = change->next) {
            change->name->blocked = change->name->dir->blocked = false;
            change->name->dir->blocked_below = false;
            if (change->inode)
                change->inode->blocked = false;
        }
    }
}

void tdw__names_commit_some(struct tdw_disk *disk, bool (*picked)(void *arg), void *arg)
{
    bool moves = false;

    for (struct tdw_name_op *op = disk->op_first, *next; op; op = next) {
        next = op->next;
        if (!is_blocked(op, moves) && picked(arg)) {
            op_commit(disk, op);
            continue;
        }
        moves |= op->moves_dir;
        for (struct tdw_name_change *change = op->changes; change; change = change->next) {
            change->name->blocked = change->name->dir->blocked_below = true;
            if (change->inode)
                change->inode->blocked = true;
        }
    }
    unblock(disk);
}

/* Here what is blocked is what the needed ones stand on. */
static bool is_needed(const struct tdw_name_op *op, const struct tdw_inode *dir,
                      const struct tdw_inode *inode, bool moves)
{
    bool needed = op->moves_dir && moves;

    for (const struct tdw_name_change *change = op->changes; change; change = change->next)
        needed |= change->name->dir == dir || (inode && change->inode == inode) ||
                  change->name->blocked || change->name->dir->blocked_below ||
                  (change->inode && change->inode->blocked);
    return needed;
}

void tdw__names_commit_of(struct tdw_disk *disk, uint64_t upto, const struct tdw_inode *dir,
                          const struct tdw_inode *inode)
{
    bool moves = false;

    for (struct tdw_name_op *op = disk->op_last; op; op = op->prev) {
        op->needed = op->change <= upto && is_needed(op, dir, inode, moves);
        if (!op->needed)
            continue;
        moves |= op->moves_dir;
        for (struct tdw_name_change *change = op->changes; change; change = change->next)
            change->name->blocked = change->name->dir->blocked = true;
        if (op->removes)
            op->removes->blocked_below = true;
    }
    unblock(disk);
    for (struct tdw_name_op *op = disk->op_first, *next; op; op = next) {
        next = op->next;
        if (op->needed)
            op_commit(disk, op);
    }
}

void tdw__names_sync(struct tdw_inode *inode, uint64_t size, uint64_t change, bool data_only)
{
    struct tdw_disk *disk = inode->disk;

    if (!disk->op_first ||
        (data_only && !tdw__is_dir(inode) && inode->kept.size == size && inode->links_kept > 0))
        return; /* nothing of it has to be looked up anew */
    switch (disk->profile) {
    case TDW_STRICT:
        if (tdw__is_dir(inode))
            tdw__names_commit_of(disk, change, inode, NULL);
        break;
    case TDW_EXT4:
    case TDW_XFS:
        tdw__names_commit(disk, change);
        break;
    case TDW_BTRFS:
        tdw__names_commit_of(disk, change, inode, inode);
        break;
    case TDW_NO_BARRIERS:
        for (struct tdw_name_op *op = disk->op_first; op && op->change <= change; op = op->next)
            op->flushed = true;
        break;
    case TDW_SYNCED:
    case TDW_PERSISTENCES:
        break;
    }
}

/* ── A drive without barriers ──────────────────────────────────────────────────────────────── */

void tdw__pages_flushed(struct tdw_inode *inode, uint64_t off, uint64_t end, uint64_t change)
{
    const uint64_t first = off / TDW_PAGE_BYTES;
    const uint64_t last = end / TDW_PAGE_BYTES + (end % TDW_PAGE_BYTES != 0);

    for (struct tdw_page *page = inode->pages.dirty; page; page = page->next)
        for (struct tdw_version *version = page->newest; version; version = version->older)
            if (version->change <= change && page->index >= first && page->index < last)
                version->flushed = true;
}

void tdw__sizes_flushed(struct tdw_inode *inode, uint64_t change)
{
    for (struct tdw_size *size = inode->sizes; size; size = size->older)
        if (size->change <= change)
            size->flushed = true;
}

/* ── The whole log ─────────────────────────────────────────────────────────────────────────── */

void tdw__unsynced_clear(struct tdw_disk *disk)
{
    while (disk->op_first)
        op_free(disk, disk->op_first, false);
}

/* sync(2), at once. */
static void keep_everything(struct tdw_disk *disk)
{
    struct tdw_inode *inode;

    tdw__names_commit(disk, UINT64_MAX);
    inode = disk->inodes_all;
    while (inode)
        if (tdw__is_dir(inode) && inode->names.dirty) {
            tdw__names_keep(inode, UINT64_MAX); /* which may free others */
            inode = disk->inodes_all;
        } else {
            inode = inode->next;
        }
    for (inode = disk->inodes_all; inode; inode = inode->next)
        if (tdw__is_reg(inode))
            tdw__inode_keep(inode, 0, (uint64_t)TDW_FILE_BYTES_MAX, false);
        else
            inode->kept = inode->now, tdw__xattrs_keep(inode);
}

void tdw__disk_persistence(struct tdw_disk *disk, enum tdw_persistence profile)
{
    disk->profile = TDW_SYNCED;
    disk->no_barriers = false;
    keep_everything(disk);
    disk->profile = profile;
    disk->log = profile != TDW_SYNCED;
    disk->no_barriers = profile == TDW_NO_BARRIERS;
}

static const char *const names[TDW_PERSISTENCES] = {
    [TDW_SYNCED] = "synced", [TDW_STRICT] = "strict",    [TDW_EXT4] = "ext4-ordered",
    [TDW_XFS] = "xfs",       [TDW_BTRFS] = "btrfs-like", [TDW_NO_BARRIERS] = "no-barriers",
};

const char *tdw_persistence_name(enum tdw_persistence profile)
{
    return (unsigned)profile < TDW_PERSISTENCES ? names[profile] : "?";
}

int tdw_persistence_named(const char *name, enum tdw_persistence *profile)
{
    for (unsigned i = 0; i < TDW_PERSISTENCES; i++)
        if (strcmp(name, names[i]) == 0) {
            *profile = (enum tdw_persistence)i;
            return 0;
        }
    return -EINVAL;
}
