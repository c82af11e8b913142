/* SPDX-License-Identifier: MIT */
/*
 * Names: the entries of directories, volatile and durable side by side.
 *
 * A name has a place in its directory, `now` (the inode that programs find there) and `kept` (the
 * one found after a power cut); a name with neither does not exist. All names of a disk are in one
 * hash table, keyed by directory number and text; the names of a directory hang in a list, oldest
 * first, which is the order in which getdents shows them.
 *
 * Durability. fsync of a directory keeps the names that were changed before it started (fsync.c).
 * What a rename changed becomes durable in one piece, whichever of its directories is synced: its
 * names form a ring, and a ring is kept as a whole. A rename that would become durable in a place
 * without a durable path makes the names on that path durable too, since otherwise syncing could
 * lose what was durable before, or close a circle of directories; and a removal of a directory
 * makes durable what emptied it. Nothing else is kept that was not asked for.
 *
 * Invariants: a name is in its directory's dirty list exactly while now and kept differ, and only
 * then in a ring of more than itself. links_now and links_kept count names. `now` of a directory
 * is found through one name only, its `self`; so, after tdw__disk_crash, is `kept`.
 *
 * Cost: finding is a hash and a comparison; keeping costs what changed. Called by name_ops.c,
 * path.c, inode.c and disk.c, which have checked what they ask for.
 */
#define XXH_INLINE_ALL
#include <sim/kernel/vfs.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ── The hash table ────────────────────────────────────────────────────────────────────────── */

static uint64_t name_hash(const struct tdw_inode *dir, const char *text, uint32_t bytes)
{
    return XXH3_64bits_withSeed(text, bytes, dir->number);
}

static struct tdw_name *table_find(const struct tdw_inode *dir, const char *text, uint32_t bytes)
{
    const struct tdw_disk *disk = dir->disk;
    const uint64_t hash = name_hash(dir, text, bytes);
    struct tdw_name *name = disk->buckets[hash & disk->bucket_mask];

    while (name && (name->hash != hash || name->dir != dir || name->bytes != bytes ||
                    memcmp(name->text, text, bytes) != 0))
        name = name->hash_next;
    return name;
}

/* Twice the buckets. Without memory for them the chains just grow longer. */
static void table_grow(struct tdw_disk *disk)
{
    const uint32_t mask = disk->bucket_mask * 2 + 1;
    struct tdw_name **buckets =
        tdw__memory_get(disk->memory, ((size_t)mask + 1) * sizeof(struct tdw_name *));

    if (!buckets)
        return;
    for (uint32_t i = 0; i <= disk->bucket_mask; i++) {
        while (disk->buckets[i]) {
            struct tdw_name *name = disk->buckets[i];

            disk->buckets[i] = name->hash_next;
            name->hash_next = buckets[name->hash & mask];
            buckets[name->hash & mask] = name;
        }
    }
    tdw__memory_put(disk->memory, disk->buckets,
                    (disk->bucket_mask + 1) * sizeof(struct tdw_name *));
    disk->buckets = buckets;
    disk->bucket_mask = mask;
}

/* ── Lists ─────────────────────────────────────────────────────────────────────────────────── */

static void list_append(struct tdw_name *name)
{
    struct tdw_names *names = &name->dir->names;

    name->cookie = names->cookie_next++;
    name->next = NULL;
    name->prev = names->tail;
    if (names->tail)
        names->tail->next = name;
    else
        names->head = name;
    names->tail = name;
}

static void list_remove(struct tdw_name *name)
{
    struct tdw_names *names = &name->dir->names;

    if (name->prev)
        name->prev->next = name->next;
    else
        names->head = name->next;
    if (name->next)
        name->next->prev = name->prev;
    else
        names->tail = name->prev;
}

static void dirty_add(struct tdw_name *name)
{
    struct tdw_names *names = &name->dir->names;

    if (name->dirty)
        return;
    name->dirty = true;
    name->dirtied = ++name->dir->disk->names_dirtied;
    name->dirty_prev = NULL;
    name->dirty_next = names->dirty;
    if (names->dirty)
        names->dirty->dirty_prev = name;
    names->dirty = name;
}

/* Out of the dirty list and out of its ring. */
static void dirty_remove(struct tdw_name *name)
{
    if (!name->dirty)
        return;
    name->dirty = false;
    if (name->dirty_prev)
        name->dirty_prev->dirty_next = name->dirty_next;
    else
        name->dir->names.dirty = name->dirty_next;
    if (name->dirty_next)
        name->dirty_next->dirty_prev = name->dirty_prev;
    name->ring_prev->ring_next = name->ring_next;
    name->ring_next->ring_prev = name->ring_prev;
    name->ring_next = name->ring_prev = name;
}

/* One ring out of the rings of two dirty names. */
static void ring_join(struct tdw_name *a, struct tdw_name *b)
{
    struct tdw_name *a_next = a->ring_next, *b_next = b->ring_next;

    for (struct tdw_name *at = a->ring_next; at != a; at = at->ring_next)
        if (at == b)
            return;
    if (a == b)
        return;
    a->ring_next = b_next;
    b_next->ring_prev = a;
    b->ring_next = a_next;
    a_next->ring_prev = b;
}

/* ── Making and unmaking ───────────────────────────────────────────────────────────────────── */

static struct tdw_name *name_new(struct tdw_inode *dir, const char *text, uint32_t bytes,
                                 uint64_t hash)
{
    struct tdw_disk *disk = dir->disk;
    struct tdw_name *name = tdw__memory_get(disk->memory, sizeof(*name) + bytes + 1);

    if (!name)
        return NULL;
    memcpy(name->text, text, bytes);
    name->bytes = bytes;
    name->dir = dir;
    name->ring_next = name->ring_prev = name;
    name->hash = hash;
    if (disk->names > disk->bucket_mask)
        table_grow(disk);
    disk->names++;
    name->hash_next = disk->buckets[name->hash & disk->bucket_mask];
    disk->buckets[name->hash & disk->bucket_mask] = name;
    list_append(name);
    return name;
}

/* The name, made if it does not exist on either side; `now` is left to the caller. */
static struct tdw_name *name_make(struct tdw_inode *dir, const char *text, uint32_t bytes)
{
    struct tdw_name *name = table_find(dir, text, bytes);

    return name ? name : name_new(dir, text, bytes, name_hash(dir, text, bytes));
}

void tdw__name_drop(struct tdw_disk *disk, struct tdw_name *name)
{
    tdw__memory_put(disk->memory, name, sizeof(*name) + name->bytes + 1);
}

static void name_free(struct tdw_name *name)
{
    struct tdw_disk *disk = name->dir->disk;
    struct tdw_name **at = &disk->buckets[name->hash & disk->bucket_mask];

    while (*at != name)
        at = &(*at)->hash_next;
    *at = name->hash_next;
    disk->names--;
    dirty_remove(name);
    list_remove(name);
    tdw__name_drop(disk, name);
}

/* One side was changed: put the name where it belongs. Frees it if it is nothing any more. */
static void name_settle(struct tdw_name *name)
{
    if (name->now == name->kept)
        dirty_remove(name);
    else
        dirty_add(name);
    tdw__name_release(name);
}

void tdw__name_release(struct tdw_name *name)
{
    if (!name->now && !name->kept && name->logged == 0)
        name_free(name);
}

static void set_parent(struct tdw_inode *child, struct tdw_inode *dir)
{
    struct tdw_inode *old = child->names.parent;

    if (old == dir)
        return;
    tdw__pin(dir);
    child->names.parent = dir;
    if (old)
        tdw__unpin(old);
}

/* Let `name` lead to `inode` (or nowhere) from now on. Leaves settling to the caller. */
static void set_now(struct tdw_name *name, struct tdw_inode *inode)
{
    struct tdw_inode *dir = name->dir, *old = name->now;

    if (old) {
        dir->names.count--;
        dir->names.subdirs -= tdw__is_dir(old);
        if (tdw__is_dir(old) && old->names.self == name)
            old->names.self = NULL;
        old->links_now--;
    }
    name->now = inode;
    name->changed = ++dir->disk->names_changed;
    if (TDW_UNLIKELY(dir->disk->log))
        tdw__name_op_change(name, inode);
    if (inode) {
        dir->names.count++;
        dir->names.subdirs += tdw__is_dir(inode);
        if (tdw__is_dir(inode)) {
            inode->names.self = name;
            set_parent(inode, dir);
        }
        inode->links_now++;
    }
}

static void touch(struct tdw_inode *dir, uint64_t now_ns)
{
    dir->now.mtime_ns = dir->now.ctime_ns = now_ns;
}

/* ── What others call ──────────────────────────────────────────────────────────────────────── */

struct tdw_name *tdw__name_find(struct tdw_inode *dir, const char *text, uint32_t bytes)
{
    struct tdw_name *name = table_find(dir, text, bytes);

    return name && name->now ? name : NULL;
}

int tdw__name_put(struct tdw_inode *dir, const char *text, uint32_t bytes, struct tdw_inode *inode,
                  uint64_t now_ns)
{
    struct tdw_name *name = name_make(dir, text, bytes);

    if (!name)
        return -ENOMEM;
    assert(!name->now);
    list_remove(name); /* a new name comes last, even if an old one is still kept */
    list_append(name);
    tdw__name_op_begin(dir->disk);
    set_now(name, inode);
    tdw__name_op_end(dir->disk);
    name_settle(name);
    inode->now.ctime_ns = now_ns;
    touch(dir, now_ns);
    return 0;
}

void tdw__name_remove(struct tdw_name *name, uint64_t now_ns)
{
    struct tdw_inode *dir = name->dir, *inode = name->now;

    inode->now.ctime_ns = now_ns;
    touch(dir, now_ns);
    tdw__name_op_begin(dir->disk);
    set_now(name, NULL);
    if (tdw__is_dir(inode))
        tdw__name_op_removes(dir->disk, inode);
    tdw__name_op_end(dir->disk);
    name_settle(name);
    tdw__inode_settle(inode);
}

int tdw__name_move(struct tdw_name *from, struct tdw_inode *dir, const char *text, uint32_t bytes,
                   uint64_t now_ns)
{
    struct tdw_name *to = name_make(dir, text, bytes);
    struct tdw_inode *inode = from->now, *old;

    if (!to)
        return -ENOMEM;
    old = to->now;
    touch(from->dir, now_ns);
    touch(dir, now_ns);
    inode->now.ctime_ns = now_ns;
    if (old)
        old->now.ctime_ns = now_ns;
    else {
        list_remove(to);
        list_append(to);
    }
    tdw__name_op_begin(dir->disk);
    set_now(to, inode);
    set_now(from, NULL);
    if (old && tdw__is_dir(old))
        tdw__name_op_removes(dir->disk, old);
    else if (old)
        tdw__name_op_flushes(dir->disk, inode);
    tdw__name_op_end(dir->disk);
    dirty_add(from);
    dirty_add(to);
    ring_join(from, to);
    name_settle(from);
    name_settle(to);
    if (old)
        tdw__inode_settle(old);
    return 0;
}

void tdw__name_exchange(struct tdw_name *a, struct tdw_name *b, uint64_t now_ns)
{
    struct tdw_inode *was_a = a->now, *was_b = b->now;

    touch(a->dir, now_ns);
    touch(b->dir, now_ns);
    was_a->now.ctime_ns = was_b->now.ctime_ns = now_ns;
    tdw__name_op_begin(a->dir->disk);
    set_now(a, was_b);
    set_now(b, was_a);
    tdw__name_op_end(a->dir->disk);
    dirty_add(a);
    dirty_add(b);
    ring_join(a, b);
    name_settle(a);
    name_settle(b);
}

/* ── Durability ────────────────────────────────────────────────────────────────────────────── */

/* Names that become durable in one go, in the order found; hung up by dirty_next, which they no
 * longer need. */
struct batch {
    struct tdw_name *head, **tail;
};

static void batch_push(struct batch *batch, struct tdw_name *name, bool renamed)
{
    dirty_remove(name);
    name->renamed = renamed;
    name->dirty_next = NULL;
    *batch->tail = name;
    batch->tail = &name->dirty_next;
}

/* The name with all of its ring. */
static void batch_add(struct batch *batch, struct tdw_name *name)
{
    const bool renamed = name->ring_next != name;

    while (name->ring_next != name)
        batch_push(batch, name->ring_next, renamed);
    batch_push(batch, name, renamed);
}

/* The dirty names on the way from the root to `dir`. */
static void batch_add_path(struct batch *batch, const struct tdw_inode *dir)
{
    while (dir->names.self) {
        struct tdw_name *name = dir->names.self;

        dir = name->dir;
        if (name->dirty)
            batch_add(batch, name);
    }
}

/* Let `name` lead to `inode` after a power cut, which was counted there before. */
static void set_kept(struct tdw_name *name, struct tdw_inode *inode, struct tdw_inode **lost)
{
    struct tdw_inode *old = name->kept;

    name->kept = inode;
    if (old && --old->links_kept == 0) {
        tdw__pin(old);
        old->lost_next = *lost;
        *lost = old;
    }
}

void tdw__name_keep_as(struct tdw_name *name, struct tdw_inode *inode, struct tdw_inode **lost)
{
    if (inode)
        inode->links_kept++;
    set_kept(name, inode, lost);
    name_settle(name);
}

/* What nothing leads to any more may go only when the whole batch is kept: it may hold names of
 * the batch. */
static struct tdw_inode *batch_keep(struct batch *batch)
{
    struct tdw_inode *lost = NULL;

    for (struct tdw_name *name = batch->head; name; name = name->dirty_next)
        if (name->now)
            name->now->links_kept++;
    for (struct tdw_name *name = batch->head, *next; name; name = next) {
        next = name->dirty_next;
        set_kept(name, name->now, &lost);
        tdw__name_release(name);
    }
    return lost;
}

void tdw__names_unpin(struct tdw_inode *lost)
{
    while (lost) {
        struct tdw_inode *inode = lost;

        lost = inode->lost_next;
        tdw__unpin(inode);
    }
}

/* What was done in a directory before it was removed: moved files have their other name by that. */
static void batch_add_below(struct batch *batch, const struct tdw_inode *removed)
{
    while (removed->names.dirty)
        batch_add(batch, removed->names.dirty);
}

void tdw__names_keep(struct tdw_inode *dir, uint64_t upto)
{
    struct batch batch = {.tail = &batch.head};

    for (struct tdw_name *name = dir->names.dirty, *next; name; name = next) {
        next = name->dirty_next;
        if (name->dirtied > upto)
            continue;
        batch_add(&batch, name);
        if (next && !next->dirty) /* it was of the same ring: begin anew */
            next = dir->names.dirty;
    }
    for (struct tdw_name *name = batch.head; name; name = name->dirty_next) {
        if (name->renamed && name->now)
            batch_add_path(&batch, name->dir);
        if (name->kept && tdw__is_dir(name->kept) && name->kept->links_now == 0)
            batch_add_below(&batch, name->kept);
    }
    tdw__names_unpin(batch_keep(&batch));
}

void tdw__names_seed(struct tdw_name *name)
{
    assert(!name->kept);
    dirty_remove(name);
    name->kept = name->now;
    name->kept->links_kept++;
}

void tdw__names_revert(struct tdw_inode *dir)
{
    while (dir->names.dirty) {
        struct tdw_name *name = dir->names.dirty;

        dirty_remove(name);
        name->blocked = false;
        name->now = name->kept;
        tdw__name_release(name);
    }
}

void tdw__names_purge(struct tdw_inode *dir)
{
    while (dir->names.head) {
        struct tdw_name *name = dir->names.head;
        struct tdw_inode *kept = name->kept;

        name_free(name);
        if (kept) {
            kept->links_kept--;
            tdw__inode_settle(kept);
        }
    }
}

void tdw__names_drop(struct tdw_inode *dir)
{
    while (dir->names.head)
        name_free(dir->names.head);
}

/* ── Above and below ───────────────────────────────────────────────────────────────────────── */

struct tdw_inode *tdw__names_below(struct tdw_inode *inode, struct tdw_inode *dir)
{
    struct tdw_inode *child = dir;

    while (dir != inode) {
        if (dir->names.parent == dir)
            return NULL;
        child = dir;
        dir = dir->names.parent;
    }
    return child;
}

int tdw__names_path(struct tdw_inode *dir, struct tdw_inode *root, char *text, size_t bytes)
{
    static const char outside[] = "(unreachable)";
    char path[TDW_PATH_BYTES_MAX];
    size_t at = sizeof(path) - 1;

    path[at] = '\0';
    while (dir != root && dir->names.parent != dir) {
        const struct tdw_name *name = dir->names.self;

        if (!name)
            return -ENOENT;
        if (name->bytes + sizeof(outside) + 1 > at)
            return -ENAMETOOLONG;
        at -= name->bytes;
        memcpy(path + at, name->text, name->bytes);
        path[--at] = '/';
        dir = name->dir;
    }
    if (path[at] == '\0')
        path[--at] = '/';
    if (dir != root) {
        at -= sizeof(outside) - 1;
        memcpy(path + at, outside, sizeof(outside) - 1);
    }
    if (sizeof(path) - at > bytes)
        return -ERANGE;
    memcpy(text, path + at, sizeof(path) - at);
    return (int)(sizeof(path) - at);
}

/* ── Images ────────────────────────────────────────────────────────────────────────────────── */

bool tdw__name_image(struct tdw_inode *dir, struct tdw_name *from)
{
    struct tdw_name *name = name_new(dir, from->text, from->bytes, from->hash);

    if (!name)
        return false;
    from->image = name;
    name->now = from->now ? from->now->image : NULL;
    name->kept = from->kept ? from->kept->image : NULL;
    name->cookie = from->cookie;
    name->changed = from->changed;
    if (name->now != name->kept)
        dirty_add(name);
    return true;
}
