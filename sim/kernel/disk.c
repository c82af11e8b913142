/* SPDX-License-Identifier: MIT */
/*
 * A host's disk: what it holds when it is new, what is put on it, and what a power cut leaves.
 *
 * The two images of a disk are not two copies: pages, attributes and names carry what is now and
 * what was kept side by side (page.c, inode.c, dir.c). A crash walks the inodes, takes back what
 * was not kept, and then looks from the root for what still has a name; the rest is freed. The
 * next boot mounts what is left.
 *
 * What survives of that which was not kept is chosen first (survive.c), and becomes kept.
 *
 * Cost of a crash: one step for each inode, plus what is taken back. Called by hosts (world.c)
 * and by replay, which seeds file images.
 */
#include <sim/kernel/vfs.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 16 };

/* ── New and gone ──────────────────────────────────────────────────────────────────────────── */

static int seed_name(struct tdw_inode *dir, const char *text, uint32_t bytes,
                     struct tdw_inode *inode)
{
    struct tdw_disk *disk = dir->disk;
    const bool log = disk->log;
    int err;

    disk->log = false; /* it is durable at once */
    err = tdw__name_put(dir, text, bytes, inode, 0);
    disk->log = log;
    if (err) {
        tdw__inode_settle(inode);
        return err;
    }
    tdw__names_seed(tdw__name_find(dir, text, bytes));
    inode->kept = inode->now;
    dir->kept = dir->now;
    return 0;
}

static int seed_device(struct tdw_inode *dir, const char *text, enum tdw_device_number device)
{
    struct tdw_inode *inode = tdw__inode_new(dir->disk, S_IFCHR | 0666, 0);

    if (!inode)
        return -ENOMEM;
    inode->device = device;
    return seed_name(dir, text, (uint32_t)strlen(text), inode);
}

static int seed_root(struct tdw_disk *disk)
{
    struct tdw_inode *dev;

    disk->root = tdw__inode_new(disk, S_IFDIR | 0755, 0);
    if (!disk->root)
        return -ENOMEM;
    disk->root->names.parent = disk->root;
    disk->root->links_now = disk->root->links_kept = 1;
    if (tdw__disk_seed_dir(disk, "/dev"))
        return -ENOMEM;
    dev = tdw__name_find(disk->root, "dev", 3)->now;
    return seed_device(dev, "null", TDW_DEV_NULL) || seed_device(dev, "zero", TDW_DEV_ZERO) ||
                   seed_device(dev, "full", TDW_DEV_FULL) ||
                   seed_device(dev, "random", TDW_DEV_RANDOM) ||
                   seed_device(dev, "urandom", TDW_DEV_URANDOM)
               ? -ENOMEM
               : 0;
}

struct tdw_disk *tdw__disk_bare(struct tdw_memory *memory, uint32_t buckets)
{
    struct tdw_disk *disk = tdw__memory_get(memory, sizeof(*disk));

    if (!disk)
        return NULL;
    disk->memory = memory;
    tdw__pool_init(&disk->blocks, memory, sizeof(struct tdw_block), 16);
    tdw__pool_init(&disk->pages, memory, sizeof(struct tdw_page), 64);
    tdw__pool_init(&disk->nodes, memory, sizeof(struct tdw_page_node), 8);
    tdw__pool_init(&disk->inodes, memory, sizeof(struct tdw_inode), 8);
    tdw__pool_init(&disk->locks, memory, sizeof(struct tdw_lock), 32);
    tdw__pool_init(&disk->waits, memory, sizeof(struct tdw_lock_wait), 16);
    tdw__pool_init(&disk->syncs, memory, sizeof(struct tdw_fsync), 8);
    tdw__pool_init(&disk->records, memory, sizeof(struct tdw_page_record), 64);
    tdw__pool_init(&disk->versions, memory, sizeof(struct tdw_version), 64);
    tdw__pool_init(&disk->sizes, memory, sizeof(struct tdw_size), 32);
    tdw__pool_init(&disk->name_ops, memory, sizeof(struct tdw_name_op), 32);
    tdw__pool_init(&disk->name_changes, memory, sizeof(struct tdw_name_change), 32);
    disk->buckets = tdw__memory_get(memory, buckets * sizeof(struct tdw_name *));
    disk->bucket_mask = buckets - 1;
    disk->inode_next = 2;
    disk->full_error = ENOSPC;
    disk->file_bytes_max = TDW_FILE_BYTES_MAX;
    if (!disk->buckets) {
        tdw__disk_free(disk);
        return NULL;
    }
    return disk;
}

struct tdw_disk *tdw__disk_new(struct tdw_memory *memory)
{
    struct tdw_disk *disk = tdw__disk_bare(memory, BUCKETS_FIRST);

    if (!disk || seed_root(disk) == 0)
        return disk;
    tdw__disk_free(disk);
    return NULL;
}

void tdw__disk_free(struct tdw_disk *disk)
{
    assert(disk->tables == 0);
    assert(disk->opens == 0);
    for (uint32_t i = 0; disk->buckets && i <= disk->bucket_mask; i++) {
        while (disk->buckets[i]) {
            struct tdw_name *name = disk->buckets[i];

            disk->buckets[i] = name->hash_next;
            tdw__name_drop(disk, name);
        }
    }
    if (disk->buckets)
        tdw__memory_put(disk->memory, disk->buckets,
                        (disk->bucket_mask + 1) * sizeof(struct tdw_name *));
    for (struct tdw_inode *inode = disk->inodes_all; inode; inode = inode->next) {
        tdw__xattrs_put(inode->xattrs_now);
        tdw__xattrs_put(inode->xattrs_kept);
        tdw__damage_free(inode);
        if (tdw__is_lnk(inode))
            free(inode->target);
    }
    tdw__pool_fini(&disk->blocks);
    tdw__pool_fini(&disk->pages);
    tdw__pool_fini(&disk->nodes);
    tdw__pool_fini(&disk->inodes);
    tdw__pool_fini(&disk->locks);
    tdw__pool_fini(&disk->waits);
    tdw__pool_fini(&disk->syncs);
    tdw__pool_fini(&disk->records);
    tdw__pool_fini(&disk->versions);
    tdw__pool_fini(&disk->sizes);
    tdw__pool_fini(&disk->name_ops);
    tdw__pool_fini(&disk->name_changes);
    tdw__memory_put(disk->memory, disk, sizeof(*disk));
}

/* ── Initial contents ──────────────────────────────────────────────────────────────────────── */

/* The directory that is to hold the last name of `path`, made on the way; the name. Symlinks are
 * not followed: seeding names places, it does not visit them. */
static int seed_parent(struct tdw_disk *disk, const char *path, struct tdw_inode **parent,
                       const char **text, uint32_t *bytes)
{
    struct tdw_inode *dir = disk->root;

    for (;;) {
        const struct tdw_name *name;
        size_t length;

        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (length > TDW_NAME_BYTES_MAX)
            return -ENAMETOOLONG;
        if (path[length + strspn(path + length, "/")] == '\0') {
            *parent = dir;
            *text = path;
            *bytes = (uint32_t)length;
            return 0;
        }
        name = tdw__name_find(dir, path, (uint32_t)length);
        if (!name) {
            struct tdw_inode *inode = tdw__inode_new(disk, S_IFDIR | 0755, 0);
            const int err = inode ? seed_name(dir, path, (uint32_t)length, inode) : -ENOMEM;

            if (err)
                return err;
            dir = inode;
        } else if (!tdw__is_dir(name->now)) {
            return -ENOTDIR;
        } else {
            dir = name->now;
        }
        path += length;
    }
}

/* A new inode of `mode` at `path`. */
static int seed(struct tdw_disk *disk, const char *path, uint32_t mode, struct tdw_inode **made)
{
    struct tdw_inode *dir;
    const char *text;
    uint32_t bytes;
    int err = seed_parent(disk, path, &dir, &text, &bytes);

    if (err)
        return err;
    if (bytes == 0 || tdw__name_find(dir, text, bytes))
        return -EEXIST;
    *made = tdw__inode_new(disk, mode, 0);
    return *made ? seed_name(dir, text, bytes, *made) : -ENOMEM;
}

int tdw__disk_seed_file(struct tdw_disk *disk, const char *path, uint64_t size,
                        uint64_t pattern_key)
{
    const uint64_t pages = size / TDW_PAGE_BYTES + (size % TDW_PAGE_BYTES != 0);
    struct tdw_inode *inode;
    int err;

    if (size > disk->file_bytes_max)
        return -EFBIG;
    if (disk->bytes_max && disk->pages_used + pages > disk->bytes_max / TDW_PAGE_BYTES)
        return -ENOSPC;
    err = seed(disk, path, S_IFREG | 0644, &inode);
    if (err)
        return err;
    inode->now.size = inode->kept.size = size;
    inode->pages.pattern = pattern_key;
    inode->pages.pattern_now = inode->pages.pattern_kept = size;
    tdw__pages_recount(inode);
    return 0;
}

int tdw__disk_seed_mode(struct tdw_disk *disk, const char *path, uint32_t mode)
{
    struct tdw_inode *dir;
    const struct tdw_name *name;
    const char *text;
    uint32_t bytes;
    const int err = seed_parent(disk, path, &dir, &text, &bytes);

    name = err || bytes == 0 ? NULL : tdw__name_find(dir, text, bytes);
    if (!name)
        return err ? err : -ENOENT;
    name->now->now.mode = name->now->kept.mode = (name->now->now.mode & S_IFMT) | (mode & 07777);
    return 0;
}

int tdw__disk_seed_dir(struct tdw_disk *disk, const char *path)
{
    struct tdw_inode *dir, *inode;
    const struct tdw_name *name;
    const char *text;
    uint32_t bytes;
    int err = seed_parent(disk, path, &dir, &text, &bytes);

    if (err || bytes == 0)
        return err;
    name = tdw__name_find(dir, text, bytes);
    if (name)
        return tdw__is_dir(name->now) ? 0 : -EEXIST;
    inode = tdw__inode_new(disk, S_IFDIR | 0755, 0);
    return inode ? seed_name(dir, text, bytes, inode) : -ENOMEM;
}

int tdw__disk_seed_symlink(struct tdw_disk *disk, const char *path, const char *target)
{
    struct tdw_inode *inode;
    char *copy;
    int err;

    if (!*target)
        return -ENOENT;
    if (strlen(target) >= TDW_PATH_BYTES_MAX)
        return -ENAMETOOLONG;
    copy = strdup(target);
    if (!copy)
        return -ENOMEM;
    err = seed(disk, path, S_IFLNK | 0777, &inode);
    if (err) {
        free(copy);
        return err;
    }
    inode->target = copy;
    inode->now.size = inode->kept.size = strlen(target);
    return 0;
}

/* ── A power cut ───────────────────────────────────────────────────────────────────────────── */

/* Mark what names lead to from the root, count its names, and let directories know their place.
 * The way back up is the parent link, so no stack is needed. */
static void mark(struct tdw_disk *disk)
{
    struct tdw_inode *dir = disk->root;
    struct tdw_name *name = dir->names.head;
    struct tdw_inode *inode;

    dir->marked = true;
    for (;;) {
        while (!name && dir != disk->root) {
            name = dir->names.self->next;
            dir = dir->names.parent;
        }
        if (!name)
            return;
        inode = name->now;
        inode->links_now++;
        dir->names.count++;
        inode->marked = true;
        if (!tdw__is_dir(inode)) {
            name = name->next;
            continue;
        }
        dir->names.subdirs++;
        dir->pins++;
        inode->names.parent = dir;
        inode->names.self = name;
        dir = inode;
        name = dir->names.head;
    }
}

/* Free what was not reached. Its names go first: they lead to others that were not reached. */
static void sweep(struct tdw_disk *disk)
{
    struct tdw_inode *inode, *next;

    for (inode = disk->inodes_all; inode; inode = inode->next) {
        inode->links_kept = inode->links_now;
        if (!inode->marked && tdw__is_dir(inode))
            tdw__names_drop(inode);
    }
    for (inode = disk->inodes_all; inode; inode = next) {
        next = inode->next;
        if (inode->marked)
            inode->marked = false;
        else
            tdw__inode_free(inode);
    }
}

void tdw__disk_crash(struct tdw_disk *disk, struct tdw_survival *survival)
{
    assert(disk->tables == 0);
    assert(disk->opens == 0);
    if (disk->log)
        tdw__disk_survive(disk, survival ? survival : &(struct tdw_survival){.choose = NULL});
    tdw__unsynced_clear(disk);
    for (struct tdw_inode *inode = disk->inodes_all; inode; inode = inode->next) {
        tdw__inode_revert(inode);
        inode->links_now = inode->pins = inode->log_pins = 0;
        inode->linkable = false;
        inode->locks = inode->flocks = NULL;
        inode->lock_queue.head = NULL;
        if (tdw__is_dir(inode)) {
            inode->names.count = inode->names.subdirs = 0;
            inode->names.self = NULL;
            if (inode != disk->root)
                inode->names.parent = NULL;
        }
    }
    mark(disk);
    disk->root->links_now = 1;
    sweep(disk);
    disk->lock_waits = NULL;
    disk->read_only = false;
}
