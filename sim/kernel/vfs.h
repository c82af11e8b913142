/* SPDX-License-Identifier: MIT */
/*
 * The file side of the simulated kernel: what its files share, and what world.c may use of it.
 *
 *     descriptor ─▶ open file ─▶ inode ─▶ pages          desc.c  inode.c  page.c
 *                      │           └────▶ names ─▶ inode  dir.c, walked by path.c
 *                      └─▶ pipe, eventfd, socket          pipe.c  eventfd.c  unix.c
 *
 * Everything that survives a process lives on a disk, and everything on a disk exists twice: as
 * it is now (volatile: what programs see) and as it was kept (durable: what a power cut leaves).
 * Attributes, pages and names each carry both states side by side and are shared until they
 * differ, so making something durable costs what changed, never what is there.
 *
 * Results are those of Linux, as 0 or more, or -errno. Nothing here waits: a row of the table of
 * opcodes names the queue in which an op has to wait (kernel.h). Nothing depends on addresses:
 * they are compared for equality only. Times are virtual, inode numbers count up per disk.
 *
 * Lifetimes. An inode lives while a name, now or kept, leads to it, or while somebody pins it (an
 * open file, a working directory, the parent link of a directory in it). An open file lives while
 * a descriptor or an op in flight refers to it. A descriptor table is shared by counting.
 *
 * Order of the end: release the ops of a process (each drops its open file), tdw__files_free,
 * then tdw__disk_crash or tdw__disk_free. Both assert that no table and no open file is left.
 */
#ifndef TDW_VFS_H
#define TDW_VFS_H

#include <sim/kernel/kernel.h>
#include <tidewheel/disk.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum {
    TDW_PAGE_BYTES = 4096,
    TDW_NAME_BYTES_MAX = 255,
    TDW_PATH_BYTES_MAX = 4096, /* with the NUL */
    TDW_SYMLINKS_MAX = 40,
    TDW_LINKS_MAX = 65000,
    TDW_FDS_SOFT = 1024, /* the limits of descriptors that a process starts with */
    TDW_FDS_HARD = 65536,
    TDW_PIPE_SLOTS = 16,
    TDW_TREE_BITS = 6,
    TDW_TREE_SLOTS = 1 << TDW_TREE_BITS,
    TDW_TREE_HEIGHT_MAX = 9,
};
#define TDW_FILE_BYTES_MAX INT64_MAX
#define TDW_RWF_NOAPPEND 0x20 /* RWF_NOAPPEND, Linux 6.9 */
#if defined(__aarch64__)
#define TDW_O_LARGEFILE                                                                            \
    0400000 /* what F_GETFL shows on a 64-bit machine, where O_LARGEFILE is 0                      \
             */
#else
#define TDW_O_LARGEFILE 0100000
#endif
#define TDW_IO_BYTES_MAX 0x7ffff000u /* what one read or write moves at most */

/* ── Memory of one size (pool.c) ───────────────────────────────────────────────────────────────
 * All of it is given back when the disk is freed. NULL when memory is exhausted; zeroed only
 * where the name says so.
 */
struct tdw_pool {
    struct tdw_memory *memory;
    void *free, *chunks;
    uint32_t bytes, per_chunk;
};
void tdw__pool_init(struct tdw_pool *pool, struct tdw_memory *memory, uint32_t bytes,
                    uint32_t per_chunk);
void tdw__pool_fini(struct tdw_pool *pool);
void *tdw__pool_get(struct tdw_pool *pool);
void *tdw__pool_get_zeroed(struct tdw_pool *pool);
void tdw__pool_put(struct tdw_pool *pool, void *object);

/* ── Pages (page.c) ────────────────────────────────────────────────────────────────────────────
 * A block is never written while two refer to it: the one that wants to change it takes a copy.
 */
struct tdw_block {
    uint8_t bytes[TDW_PAGE_BYTES];
    struct tdw_disk *disk; /* whose it is; images of the disk (image.c) only look at it */
    uint32_t refs;
} __attribute__((aligned(64)));

/* What stands in the place of a block that needs no memory. A page that is not in the tree is
 * TDW_PRISTINE: the keyed pattern as far as it reaches, zeros beyond. */
#define TDW_HOLE ((struct tdw_block *)0)
#define TDW_PRISTINE ((struct tdw_block *)1)
#define TDW_RESERVED ((struct tdw_block *)2) /* space allocated, never written: zeros */

static inline bool tdw__is_block(const struct tdw_block *block)
{
    return (uintptr_t)block > 2;
}

enum tdw_page_bits {
    TDW_PAGE_DIRTY = 1, /* in the list: now and kept may differ */
    TDW_PAGE_CUT = 2,   /* a truncation or hole took it since it was kept: with the next durable
                           size, the kept content is gone even if the page itself is not synced */
    TDW_PAGE_WHOLE = 4, /* its end was cut: becomes durable with the next durable size */
    TDW_PAGE_LOST = 8,  /* no sync keeps it, until it is written again (damage.c) */
};

struct tdw_page {
    struct tdw_block *now, *kept;
    uint64_t index;
    struct tdw_page *next, *prev; /* while dirty */
    struct tdw_version *newest;   /* unsynced.c: what it was on the way from kept to now */
    uint32_t bits;                /* enum tdw_page_bits */
    uint32_t versions;
};

struct tdw_page_node {
    void *slots[TDW_TREE_SLOTS]; /* nodes; pages at the lowest level */
    uint32_t used;
};

/* The content of a regular file. */
struct tdw_pages {
    void *root;              /* height 0: the page 0; else a node */
    struct tdw_page *recent; /* the page used last, or NULL */
    struct tdw_page *dirty;
    uint64_t allocated;                 /* pages that take space, now */
    uint64_t pattern;                   /* key of the content it was seeded with */
    uint64_t pattern_now, pattern_kept; /* bytes that the pattern reaches */
    uint32_t height;
    bool borrowed; /* the tree is another disk's, which has to be copied before it is changed */
    bool cut;      /* some dirty page has the bit TDW_PAGE_CUT or TDW_PAGE_WHOLE */
    bool lost;     /* … or has had TDW_PAGE_LOST */
};

struct tdw_inode;

/* A block with one reference, not filled; NULL when memory is exhausted. */
struct tdw_block *tdw__block_new(struct tdw_disk *disk);
/* One reference of `disk` more, and fewer; nothing if it is no block, or another disk's. */
struct tdw_block *tdw__block_ref(const struct tdw_disk *disk, struct tdw_block *block);
void tdw__block_put(struct tdw_disk *disk, struct tdw_block *block);

/* Copy out `bytes` at `off`, all of which lie within the size. */
void tdw__pages_read(struct tdw_inode *inode, uint64_t off, void *to, size_t bytes);
/* Is all of it in memory: nothing that was only seeded? */
bool tdw__pages_resident(struct tdw_inode *inode, uint64_t off, size_t bytes);
/* Copy in. Returns the bytes written, which may be less when space or memory ends, or -ENOSPC,
 * -ENOMEM if none. The caller sets the size. */
int64_t tdw__pages_write(struct tdw_inode *inode, uint64_t off, const void *from, size_t bytes);
/* Everything from `size` on is gone, and reads as zeros should the file grow again. */
int tdw__pages_cut(struct tdw_inode *inode, uint64_t size);
/* [off, end) reads as zeros from now on; whole pages give their space back. */
int tdw__pages_punch(struct tdw_inode *inode, uint64_t off, uint64_t end);
/* Space for [off, end), if space is limited. 0 or -ENOSPC; a refusal changes nothing. */
int tdw__pages_reserve(struct tdw_inode *inode, uint64_t off, uint64_t end);
/* Make the content of [off, end) durable, and with it that of pages which a truncation took. */
void tdw__pages_keep(struct tdw_inode *inode, uint64_t off, uint64_t end);
/* The same in two steps: what pages_keep would keep now is recorded (0 or -ENOMEM), and kept
 * later, whatever was written in between; `pattern` is the reach of the pattern then. Records that
 * are not applied are given up with unrecord. */
struct tdw_page_record {
    struct tdw_page_record *next;
    struct tdw_block *block;
    uint64_t index;
};
int tdw__pages_record(struct tdw_inode *inode, uint64_t off, uint64_t end,
                      struct tdw_page_record **records);
void tdw__pages_apply(struct tdw_inode *inode, struct tdw_page_record **records, uint64_t pattern,
                      uint64_t change);
/* After a power cut `page` is `block`, which gets another reference. It may leave the tree. */
void tdw__page_set_kept(struct tdw_inode *inode, struct tdw_page *page, struct tdw_block *block);
/* What of a block in the state `block` is at page `index`: copied to `to`. */
void tdw__page_copy(const struct tdw_inode *inode, uint64_t index, const struct tdw_block *block,
                    uint64_t pattern, uint8_t to[TDW_PAGE_BYTES]);
/* What the page is now never reaches the disk, unless it is written again; what is written there of
 * page `index` lands in the place of page `to`. Nothing happens where that means nothing. */
void tdw__page_lose(struct tdw_inode *inode, uint64_t index);
void tdw__page_misdirect(struct tdw_inode *inode, uint64_t index, uint64_t to);
/* Does a read of the page meet the disk? Not if it was written and is not durable, nor in a hole.
 */
bool tdw__page_on_disk(struct tdw_inode *inode, uint64_t index);
/* `page` is after a power cut as these bytes are. */
void tdw__page_keep_bytes(struct tdw_inode *inode, struct tdw_page *page,
                          const uint8_t bytes[TDW_PAGE_BYTES]);
/* What is kept of pages behind the kept size goes, and bytes behind it become zero. */
void tdw__pages_trim(struct tdw_inode *inode);
/* The pages that were recorded are lost, those that were written since excepted. */
void tdw__pages_lose(struct tdw_inode *inode, const struct tdw_page_record *records);
void tdw__pages_unrecord(struct tdw_inode *inode, struct tdw_page_record **records);
/* The power went: the content is what was kept. */
void tdw__pages_revert(struct tdw_inode *inode);
void tdw__pages_free(struct tdw_inode *inode);
/* `to`, on an image, has the content of `from`: its tree as long as nothing is dirty, or a copy,
 * the log included. 0 or -ENOMEM. */
int tdw__pages_image(struct tdw_inode *to, const struct tdw_inode *from);
/* The file takes no space any more, though its content is there; it takes space again. */
void tdw__pages_uncount(struct tdw_inode *inode);
void tdw__pages_recount(struct tdw_inode *inode);
/* The first offset >= `off` below the size where there is data (or, `hole`, where there is none).
 * The size itself counts as a hole. -ENXIO if none. */
int64_t tdw__pages_seek(struct tdw_inode *inode, uint64_t off, bool hole);
/* The 64-bit little-endian word `word` of a seeded file's content. */
uint64_t tdw__pattern(uint64_t key, uint64_t word);

/* ── Inodes (inode.c) ──────────────────────────────────────────────────────────────────────── */

struct tdw_attributes {
    uint64_t size;
    uint64_t atime_ns, mtime_ns, ctime_ns;
    uint32_t mode, uid, gid;
    uint32_t spare;
};

/* One name in a directory, now and as kept; either may be absent (NULL), never both. */
struct tdw_name {
    struct tdw_name *hash_next;
    struct tdw_inode *dir;
    struct tdw_inode *now, *kept;
    struct tdw_name *next, *prev;             /* in the directory, oldest first */
    struct tdw_name *dirty_next, *dirty_prev; /* in the directory, while now and kept differ */
    struct tdw_name *ring_next, *ring_prev;   /* names that become durable together: a rename */
    struct tdw_name *image;                   /* while one is made */
    uint64_t cookie;                          /* place in the directory, for getdents */
    uint64_t changed;                         /* number of the name operation that made `now` */
    uint64_t dirtied;                         /* … of the change since which it is dirty */
    uint64_t hash;
    uint32_t bytes;
    uint32_t logged; /* operations of the log that name it */
    bool dirty;
    bool blocked; /* unsynced.c: of an operation that is left out */
    bool renamed; /* while it becomes durable: together with others */
    char text[];  /* with a NUL */
};

struct tdw_names {
    struct tdw_name *head, *tail, *dirty;
    struct tdw_inode *parent; /* pinned; itself at the root */
    struct tdw_name *self;    /* the name, now, that leads here; NULL: removed, or the root */
    uint64_t cookie_next;
    uint32_t count, subdirs; /* names now, and how many of them are directories */
};

struct tdw_lock;

struct tdw_inode {
    struct tdw_disk *disk;
    uint64_t number;
    struct tdw_attributes now, kept;
    uint64_t btime_ns;
    struct tdw_xattrs *xattrs_now, *xattrs_kept; /* NULL: none */
    struct tdw_fsync *syncs;                     /* fsyncs under way, oldest first */
    struct tdw_size *sizes;                      /* unsynced.c: newest first */
    struct tdw_damage *damage;                   /* damage.c */
    uint32_t sync_errors;                        /* so far; each open file is told once of all */
    uint32_t sizes_count;
    uint32_t links_now, links_kept; /* names that lead here */
    uint32_t pins, log_pins;        /* log_pins: operations on names that may come back */
    bool linkable;      /* made by O_TMPFILE without O_EXCL: may be given a first name */
    bool marked;        /* reached, while the disk looks for what survived */
    bool forgotten;     /* only a kept name leads here; takes no space now */
    bool blocked;       /* unsynced.c: an operation that names it is left out */
    bool blocked_below; /* … or one on the names in it */

    struct tdw_lock *locks, *flocks; /* lock.c: record locks by owner and start; whole-file locks */
    struct tdw_waitq lock_queue;

    struct tdw_inode *next, *prev; /* of the disk */
    union {
        struct tdw_inode *lost_next; /* while it is settled together with others */
        struct tdw_inode *image;     /* while an image of the disk is made: what it is there */
        uint64_t path_hash;          /* while it is hashed */
    };
    union {
        struct tdw_pages pages; /* S_IFREG */
        struct tdw_names names; /* S_IFDIR */
        char *target;           /* S_IFLNK */
        uint32_t device;        /* S_IFCHR: enum tdw_device_number */
        struct tdw_pipe *pipe;  /* S_IFIFO: NULL while nobody has it open */
    };
};

enum tdw_device_number {
    TDW_DEV_NULL = 3,
    TDW_DEV_ZERO = 5,
    TDW_DEV_FULL = 7,
    TDW_DEV_RANDOM = 8,
    TDW_DEV_URANDOM = 9,
};

static inline bool tdw__is_reg(const struct tdw_inode *inode)
{
    return S_ISREG(inode->now.mode);
}
static inline bool tdw__is_dir(const struct tdw_inode *inode)
{
    return S_ISDIR(inode->now.mode);
}
static inline bool tdw__is_lnk(const struct tdw_inode *inode)
{
    return S_ISLNK(inode->now.mode);
}

/* A new inode without a name, unpinned. `mode` has the type. NULL when memory is exhausted. */
struct tdw_inode *tdw__inode_new(struct tdw_disk *disk, uint32_t mode, uint64_t now_ns);
/* Names or pins were lost: free what nothing leads to any more. */
void tdw__inode_settle(struct tdw_inode *inode);
void tdw__inode_free(struct tdw_inode *inode);
/* The power went: attributes, content and names are those that were kept. */
void tdw__inode_revert(struct tdw_inode *inode);
static inline void tdw__pin(struct tdw_inode *inode)
{
    inode->pins++;
}
void tdw__unpin(struct tdw_inode *inode);
/* st_nlink. */
uint32_t tdw__inode_links(const struct tdw_inode *inode);
void tdw__inode_set_size(struct tdw_inode *inode, uint64_t size);
/* These, which the file had at `change`, become durable. */
void tdw__inode_keep_attributes(struct tdw_inode *inode, const struct tdw_attributes *attributes,
                                uint64_t change, bool size_only);
int tdw__inode_resize(struct tdw_inode *inode, uint64_t size, uint64_t now_ns);
/* An O_SYNC write: what is there now becomes durable. `data_only` as fdatasync; `end` is exclusive.
 */
void tdw__inode_keep(struct tdw_inode *inode, uint64_t off, uint64_t end, bool data_only);
void tdw__inode_statx(const struct tdw_inode *inode, struct statx *stat);

/* ── Syncs under way (fsync.c) ─────────────────────────────────────────────────────────────── */

/* What an fsync will keep: the file as it was at its start. */
struct tdw_fsync {
    struct tdw_fsync *next; /* of the inode */
    struct tdw_file *file;
    struct tdw_page_record *pages;
    struct tdw_attributes attributes;
    struct tdw_xattrs *xattrs;
    uint64_t pattern;
    uint64_t names;  /* of a directory: the changes before this number */
    uint64_t change; /* of the disk, likewise */
    uint64_t off, end;
    bool data_only;
};
/* What was written with O_SYNC or O_DSYNC is kept, in one go: 0, or -EIO and it may not be. */
int32_t tdw__sync_write(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                        uint64_t off, uint64_t end, bool data_only);
/* Those under way that began by `change` take effect: somebody keeps what is newer. */
void tdw__syncs_apply(struct tdw_inode *inode, uint64_t change);

/* ── Damage (damage.c) ─────────────────────────────────────────────────────────────────────── */

struct tdw_damage { /* a sector of a file */
    struct tdw_damage *next;
    uint64_t sector;
    bool rot; /* a bit of it is wrong; else it cannot be read */
};
void tdw__damage_free(struct tdw_inode *inode);
bool tdw__damage_copy(struct tdw_inode *to, const struct tdw_inode *from); /* false: no memory */
/* A read of [pos, pos + left), which lies in the file, takes effect: how much of it can be read, or
 * -EIO. What was read is then as rotten as the disk. */
int64_t tdw__damage_read(struct tdw_process *process, const struct tdw_op *op,
                         struct tdw_file *file, uint64_t pos, size_t left);
void tdw__damage_rot(struct tdw_inode *inode, uint64_t pos, void *to, size_t bytes);
/* [pos, pos + bytes) has been written. */
void tdw__damage_write(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                       uint64_t pos, size_t bytes);
/* Sectors of a page have been written to the disk (bits). */
void tdw__damage_heal(struct tdw_inode *inode, uint64_t index, uint8_t sectors);
/* An fsync is about to take effect: does it keep what it was for, say so without, fail and leave it
 * as it is, or fail and drop it? */
enum tdw_sync_fate { TDW_SYNC_KEEPS, TDW_SYNC_LIES, TDW_SYNC_FAILS, TDW_SYNC_DROPS };
enum tdw_sync_fate tdw__damage_sync(struct tdw_process *process, const struct tdw_op *op,
                                    struct tdw_file *file);

/* ── Extended attributes (xattr.c) ─────────────────────────────────────────────────────────── */

void tdw__xattrs_keep(struct tdw_inode *inode);
void tdw__xattrs_revert(struct tdw_inode *inode);
struct tdw_xattrs *tdw__xattrs_ref(struct tdw_xattrs *set);
void tdw__xattrs_put(struct tdw_xattrs *set); /* one reference fewer */

/* ── Names (dir.c) ─────────────────────────────────────────────────────────────────────────────
 * These change the name alone, both directions of counting, and the directory's times; who calls
 * them has checked. `put` may fail for want of memory, before it changes anything.
 */
struct tdw_name *tdw__name_find(struct tdw_inode *dir, const char *text, uint32_t bytes);
int tdw__name_put(struct tdw_inode *dir, const char *text, uint32_t bytes, struct tdw_inode *inode,
                  uint64_t now_ns);
void tdw__name_remove(struct tdw_name *name, uint64_t now_ns);
/* `from` gets a new place, replacing what is there. */
int tdw__name_move(struct tdw_name *from, struct tdw_inode *dir, const char *text, uint32_t bytes,
                   uint64_t now_ns);
void tdw__name_exchange(struct tdw_name *a, struct tdw_name *b, uint64_t now_ns);
/* Its memory, when all of the disk goes. */
void tdw__name_drop(struct tdw_disk *disk, struct tdw_name *name);
/* The name `from` of another disk, on the image of `dir`, leading to the images of what it leads
 * to. false: no memory. */
bool tdw__name_image(struct tdw_inode *dir, struct tdw_name *from);
/* The names of `dir` that have been dirty since change `upto` or longer become durable, as they are
 * now. */
void tdw__names_keep(struct tdw_inode *dir, uint64_t upto);
/* A name just put becomes durable by itself: initial contents. */
void tdw__names_seed(struct tdw_name *name);
/* The power went: the names of `dir` are those that were kept. Counts and parents are left to the
 * disk, which finds out what survived. */
void tdw__names_revert(struct tdw_inode *dir);
/* All names of `dir` are forgotten, now and kept: nothing leads to it any more. */
void tdw__names_purge(struct tdw_inode *dir);
/* The same without looking at what they lead to: all of that goes too. */
void tdw__names_drop(struct tdw_inode *dir);
/* Is `dir` the directory `inode`, or below it? Returns the child of `inode` on the way, `dir` if
 * they are the same, NULL if not. */
struct tdw_inode *tdw__names_below(struct tdw_inode *inode, struct tdw_inode *dir);
/* The path of `dir` from `root`, ending in a NUL. Its length with the NUL; -ENOENT (removed),
 * -ERANGE. "(unreachable)" precedes a path that does not pass `root`. */
int tdw__names_path(struct tdw_inode *dir, struct tdw_inode *root, char *text, size_t bytes);

/* A change of a name alone: it leads to `inode` (NULL: nowhere) after a power cut. What nothing
 * leads to any more comes in front of `lost`, pinned, by lost_next. */
void tdw__name_keep_as(struct tdw_name *name, struct tdw_inode *inode, struct tdw_inode **lost);
void tdw__names_unpin(struct tdw_inode *lost); /* … which goes now */
void tdw__name_release(struct tdw_name *name); /* free it if it is nothing any more */

/* ── What is not durable yet (unsynced.c) ──────────────────────────────────────────────────────
 * Kept only while disk->log: where a power cut may leave more than what was synced.
 */
enum { TDW_SECTOR_BYTES = 512, TDW_VERSIONS_MAX = 16, TDW_SIZES_MAX = 16, TDW_NAME_OPS_MAX = 1024 };

struct tdw_version { /* a page, as a change left it */
    struct tdw_version *older;
    struct tdw_block *block; /* with a reference */
    uint64_t change;
    uint8_t sectors; /* bits: those that were changed */
    bool cut;        /* … by a truncation */
    bool flushed;    /* acknowledged as durable, by a drive that may forget it */
};

struct tdw_size { /* a file's size, as a change left it */
    struct tdw_size *older;
    uint64_t change, bytes;
    uint64_t least; /* of it, and of those that were merged into it */
    bool flushed;
};

struct tdw_name_change { /* one name of an operation */
    struct tdw_name_change *next;
    struct tdw_name *name;
    struct tdw_inode *inode; /* NULL: it leads nowhere */
};

struct tdw_name_op { /* an operation on names: what it changed, changes in one piece */
    struct tdw_name_op *next, *prev;
    uint64_t change;
    struct tdw_name_change *changes;
    struct tdw_inode *flushes; /* whose data come with it (replace by rename); or NULL */
    struct tdw_inode *removes; /* the directory that is no more; or NULL */
    bool moves_dir;            /* a directory gets another place */
    bool flushed, needed;
};

/* The bits of the sectors in which [skip, skip + bytes) of a page lies. */
static inline uint8_t tdw__sectors(size_t skip, size_t bytes)
{
    const unsigned first = (unsigned)skip / TDW_SECTOR_BYTES;
    const unsigned end = (unsigned)(skip + bytes + TDW_SECTOR_BYTES - 1) / TDW_SECTOR_BYTES;

    return (uint8_t)((1u << end) - (1u << first));
}
/* `page` is now as it is, by a change of these sectors; `cut`: by a truncation. */
void tdw__version_add(struct tdw_inode *inode, struct tdw_page *page, uint8_t sectors, bool cut);
/* Those up to `change` are not needed any more. */
void tdw__versions_drop(struct tdw_disk *disk, struct tdw_page *page, uint64_t change);
/* Those that no drive has acknowledged are never going to be durable. */
void tdw__versions_lose(struct tdw_disk *disk, struct tdw_page *page);
/* The newest up to `change`; NULL. */
const struct tdw_version *tdw__version_at(const struct tdw_page *page, uint64_t change);
/* The page is after a power cut as that version of it, and those up to it are not needed any more.
 */
void tdw__version_keep(struct tdw_inode *inode, struct tdw_page *page,
                       const struct tdw_version *version);
void tdw__size_add(struct tdw_inode *inode); /* the size is now as it is */
/* The kept size is that one; what was seeded reaches no farther than it and those before it. */
void tdw__size_keep(struct tdw_inode *inode, const struct tdw_size *size);
void tdw__sizes_drop(struct tdw_inode *inode, uint64_t change);
/* An operation on names begins, lets names lead elsewhere, ends. */
void tdw__name_op_begin(struct tdw_disk *disk);
void tdw__name_op_change(struct tdw_name *name, struct tdw_inode *inode);
void tdw__name_op_flushes(struct tdw_disk *disk, struct tdw_inode *inode);
void tdw__name_op_removes(struct tdw_disk *disk, struct tdw_inode *dir);
void tdw__name_op_end(struct tdw_disk *disk);
/* The operations on names up to `change` become durable, in order: a journal is committed. */
void tdw__names_commit(struct tdw_disk *disk, uint64_t change);
/* Of those, the ones in the directory `dir`, or that give `inode` a name, with what they stand on.
 */
void tdw__names_commit_of(struct tdw_disk *disk, uint64_t change, const struct tdw_inode *dir,
                          const struct tdw_inode *inode);
/* One operation after the other, from the oldest on: become durable those for which `picked` says
 * so, if nothing that they stand on was left out. */
void tdw__names_commit_some(struct tdw_disk *disk, bool (*picked)(void *arg), void *arg);
/* A sync of `inode` as it was at `change`, when it had `size` bytes: the names that become durable
 * with it, by the rules of the file system. */
void tdw__names_sync(struct tdw_inode *inode, uint64_t size, uint64_t change, bool data_only);
/* What of a file came up to `change` becomes durable. */
void tdw__inode_keep_upto(struct tdw_inode *inode, uint64_t change);
/* A drive without barriers was told to keep what came up to `change`: it said so, that is all. */
void tdw__pages_flushed(struct tdw_inode *inode, uint64_t off, uint64_t end, uint64_t change);
void tdw__sizes_flushed(struct tdw_inode *inode, uint64_t change);
/* The log is empty again; what it held of names and inodes is let go, but nothing is freed that
 * a name leads to. */
void tdw__unsynced_clear(struct tdw_disk *disk);
/* All of the disk is synced, and from now on a power cut leaves what `profile` says. */
void tdw__disk_persistence(struct tdw_disk *disk, enum tdw_persistence profile);

struct tdw_survival;

/* ── Images (image.c) ──────────────────────────────────────────────────────────────────────── */

/* What a power cut now would leave of `disk`, which does not change: a disk in `memory`, good until
 * the first changes or is freed. NULL when memory is exhausted. */
struct tdw_disk *tdw__disk_image(struct tdw_disk *disk, struct tdw_memory *memory,
                                 struct tdw_survival *survival);
/* A hash of what is durable on it: paths, types, modes, sizes, contents. Times are left out. */
uint64_t tdw__disk_hash(struct tdw_disk *disk);

/* ── What survives a power cut (survive.c) ─────────────────────────────────────────────────── */

/* Who answers: a number below `bound` (>= 2), for the ordinal-th question; NULL: always 0. */
struct tdw_survival {
    uint32_t (*choose)(struct tdw_survival *survival, const char *point, uint32_t ordinal,
                       uint32_t bound);
    const char *what; /* afterwards: what survived, in words */
};
/* Of what is not durable, what survives becomes so. */
void tdw__disk_survive(struct tdw_disk *disk, struct tdw_survival *survival);

/* ── The disk (disk.c) ─────────────────────────────────────────────────────────────────────── */

struct tdw_disk {
    struct tdw_memory *memory; /* where all of it is */
    struct tdw_pool blocks, pages, nodes, inodes, locks, waits, syncs, records;
    struct tdw_pool versions, sizes, name_ops, name_changes;
    struct tdw_inode *root;
    struct tdw_inode *inodes_all;
    struct tdw_name **buckets;
    uint32_t bucket_mask, names;
    uint64_t inode_next;
    uint64_t names_changed; /* name operations so far */
    uint64_t names_dirtied; /* names that became dirty so far */
    uint64_t seed;          /* of /dev/urandom */
    uint64_t bytes_max;     /* capacity; 0: none */
    uint64_t file_bytes_max;
    uint64_t pages_used;
    bool log;         /* what is not durable is kept apart, change by change: */
    bool no_barriers; /* … also what was flushed */
    enum tdw_persistence profile;
    uint64_t changes;  /* so far; each has a number */
    uint64_t shown;    /* things so far that a power cut could show: changes and syncs */
    bool read_only;    /* until the next boot */
    bool whole_blocks; /* what is torn is torn between blocks of TDW_PAGE_BYTES */
    int full_error;    /* what a full disk answers: ENOSPC, EDQUOT */
    struct tdw_name_op *op_first, *op_last, *op_open;
    uint32_t ops;
    struct tdw_lock_wait *lock_waits; /* ops that wait for a record lock, for EDEADLK */
    uint32_t tables, opens;           /* descriptor tables and open files that refer to it */
};

/* May anything on it be changed? 0, -EROFS. */
static inline int tdw__disk_writable(const struct tdw_disk *disk)
{
    return TDW_UNLIKELY(disk->read_only) ? -EROFS : 0;
}

/* An empty disk: a root directory, and /dev with null, zero, random and urandom, all durable.
 * NULL when memory is exhausted. */
struct tdw_disk *tdw__disk_new(struct tdw_memory *memory);
struct tdw_disk *tdw__disk_bare(struct tdw_memory *memory, uint32_t buckets); /* without a root */
void tdw__disk_free(struct tdw_disk *disk);
/* The power went. What was not made durable is lost, but for what survives by choice; NULL: nothing
 * does. No table may be left. */
void tdw__disk_crash(struct tdw_disk *disk, struct tdw_survival *survival);
/* Initial contents, durable at once; directories on the way are made. 0 or -errno (-EEXIST,
 * -ENOTDIR, -ENAMETOOLONG, -ENOSPC, -ENOMEM). A file's content is a pattern keyed by
 * `pattern_key`, which takes no memory until it is written. */
int tdw__disk_seed_file(struct tdw_disk *disk, const char *path, uint64_t size,
                        uint64_t pattern_key);
int tdw__disk_seed_dir(struct tdw_disk *disk, const char *path); /* existing: 0 */
/* The permissions of what was seeded: 0, -ENOENT. */
int tdw__disk_seed_mode(struct tdw_disk *disk, const char *path, uint32_t mode);
int tdw__disk_seed_symlink(struct tdw_disk *disk, const char *path, const char *target);

/* ── Open files (desc.c) ───────────────────────────────────────────────────────────────────── */

enum tdw_file_bits {
    TDW_FILE_READ = 1,
    TDW_FILE_WRITE = 2,
    TDW_FILE_PATH = 4,  /* O_PATH: names a place, cannot be read or written */
    TDW_FILE_INODE = 8, /* of the kinds that have an inode */
};

/* One read or write: where the bytes are, and how far it got. */
struct tdw_io {
    const struct iovec *iov;
    size_t skip; /* bytes of the first vector that are done */
    size_t left; /* bytes to go in all */
    uint64_t off;
    int rw_flags;
    bool nowait; /* answers -EAGAIN instead of waiting */
};

struct tdw_file;

/* What kind of thing an open file is. A new kind is a new row and nothing else. */
struct tdw_file_kind {
    const char *name;
    uint32_t mode; /* st_mode of what has no inode */
    bool direct;   /* may be O_DIRECT */
    /* In which queue has a read or write to wait? NULL: in none. */
    struct tdw_waitq *(*blocked)(struct tdw_file *file, const struct tdw_io *io, bool write);
    int32_t (*read)(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                    const struct tdw_op *op);
    int32_t (*write)(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                     const struct tdw_op *op);
    uint32_t (*ready)(const struct tdw_file *file);          /* POLLIN, …; NULL: always */
    struct tdw_waitq *(*ready_queue)(struct tdw_file *file); /* NULL: that never changes */
    int (*readable_bytes)(const struct tdw_file *file);      /* FIONREAD; NULL: -ENOTTY */
    void (*close)(struct tdw_file *file);                    /* the last reference went */
};

/* An open file description. */
struct tdw_file {
    const struct tdw_file_kind *kind;
    uint32_t refs;
    uint8_t bits; /* enum tdw_file_bits */
    int flags;    /* as F_GETFL answers them */
    uint64_t pos;
    struct tdw_disk *disk;
    struct tdw_inode *inode; /* or NULL */
    union {
        struct tdw_pipe *pipe;
        struct tdw_process *ring; /* whose ring it is */
        struct tdw_eventfd *eventfd;
        struct tdw_socket *socket;
        struct tdw_epoll *epoll;
        struct tdw_timerfd *timerfd;
    };
    uint64_t number;                   /* st_ino of what has no inode */
    uint32_t sync_errors;              /* of the inode's, those that it was told of */
    struct tdw_epoll_item *watched_by; /* epoll.c: what epolls have of it */
};

extern const struct tdw_file_kind tdw__kind_reg, tdw__kind_dir, tdw__kind_device, tdw__kind_path,
    tdw__kind_ring;

enum { TDW_FDS_FEW = 6 };

/* A process's descriptors, root, working directory and umask. */
struct tdw_files {
    struct tdw_file **fds;
    uint32_t fds_size;
    uint32_t fd_free;                  /* no descriptor below it is free */
    struct tdw_file *few[TDW_FDS_FEW]; /* what `fds` is at first: one cache line with it */
    uint64_t few_cloexec;
    uint32_t refs;
    uint32_t fds_limit;     /* no descriptor >= it is given out */
    uint32_t fds_limit_max; /* what it may be raised to */
    uint32_t umask;
    uint64_t *cloexec; /* one bit for each */
    struct tdw_disk *disk;
    struct tdw_inode *root, *cwd;
};

/* A table whose descriptors 0, 1, 2 are /dev/null; root and working directory "/". */
struct tdw_files *tdw__files_new(struct tdw_disk *disk);
struct tdw_files *tdw__files_clone(const struct tdw_files *files); /* fork */
struct tdw_files *tdw__files_share(struct tdw_files *files);       /* CLONE_FILES */
/* execve: closes what is O_CLOEXEC. A shared table is left to its others: use the one returned
 * (NULL when memory is exhausted, and nothing changed). */
struct tdw_files *tdw__files_exec(struct tdw_files *files);
/* One user fewer; the last one closes everything, drops its locks and wakes who waits for them. */
void tdw__files_free(struct tdw_files *files);
/* RLIMIT_NOFILE, now and at most. */
void tdw__files_limit(struct tdw_files *files, uint32_t fds_limit, uint32_t fds_limit_max);
int tdw__files_chdir(struct tdw_files *files, const char *path); /* 0 or -errno */
int tdw__files_chroot(struct tdw_files *files, const char *path);

/* An open file with one reference, or NULL. It takes over the caller's pin of `inode`. */
struct tdw_file *tdw__file_new(struct tdw_disk *disk, const struct tdw_file_kind *kind, int flags,
                               struct tdw_inode *inode);
void tdw__file_close(struct tdw_file *file); /* the last reference went */
static inline void tdw__file_put(struct tdw_file *file)
{
    if (--file->refs == 0)
        tdw__file_close(file);
}

/* The open file of `fd`, or NULL. `any` also finds what was opened with O_PATH. */
static inline struct tdw_file *tdw__fd_any(const struct tdw_files *files, int fd)
{
    return (uint32_t)fd < files->fds_size ? files->fds[fd] : NULL;
}
static inline struct tdw_file *tdw__fd(const struct tdw_files *files, int fd)
{
    struct tdw_file *file = tdw__fd_any(files, fd);

    return TDW_LIKELY(file != NULL && !(file->bits & TDW_FILE_PATH)) ? file : NULL;
}
/* The lowest free descriptor >= `from`, with memory for it; -EMFILE, -ENOMEM. */
int tdw__fd_free(struct tdw_files *files, uint32_t from);
/* `fd` (free) refers to `file` from now on and takes over the caller's reference. */
void tdw__fd_set(struct tdw_files *files, int fd, struct tdw_file *file, bool cloexec);
bool tdw__fd_cloexec(const struct tdw_files *files, int fd);
void tdw__fd_set_cloexec(struct tdw_files *files, int fd, bool cloexec);
int tdw__fd_close(struct tdw_files *files, int fd);
int tdw__fd_dup(struct tdw_files *files, int fd, int from, bool cloexec); /* F_DUPFD */
int tdw__fd_dup3(struct tdw_files *files, int fd, int to, int flags);
int tdw__fd_setfl(struct tdw_file *file, int flags);

/* Move the access time, as a mount with relatime does: only if that says something new. */
void tdw__file_accessed(struct tdw_file *file, uint64_t now_ns);

/* Copy between a transfer and memory, and move it on. */
void tdw__io_fill(struct tdw_io *io, const void *from, size_t bytes); /* into the program's */
void tdw__io_take(struct tdw_io *io, void *to, size_t bytes);         /* out of the program's */

/* One of the paths that lead to an open file, in `to`; "" if none does (describe.c). */
const char *tdw__file_path(const void *file, char *to, size_t bytes);

/* ── Paths (path.c) ────────────────────────────────────────────────────────────────────────── */

enum tdw_walk_flags {
    TDW_WALK_FOLLOW = 1, /* a symlink at the end is followed */
    TDW_WALK_PARENT = 2, /* stop before the last name is looked up: tdw__walk_last does that, and
                            follows nothing; a trailing slash is reported and nothing else */
    TDW_WALK_CREATE = 4, /* the name may be created: a trailing slash is -EISDIR */
    TDW_WALK_EMPTY = 8,  /* AT_EMPTY_PATH: "" is what dirfd refers to */
    /* RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT of openat2 */
    TDW_WALK_NO_SYMLINKS = 16,
    TDW_WALK_BENEATH = 32,
    TDW_WALK_IN_ROOT = 64,
};
enum tdw_last { TDW_LAST_NAME, TDW_LAST_DOT, TDW_LAST_DOTDOT, TDW_LAST_ROOT };

/* Where a path leads. Nothing is pinned: it is good until the next change. */
struct tdw_walk {
    struct tdw_inode *root;  /* which ".." does not leave */
    bool beneath;            /* it is an error to try */
    struct tdw_inode *inode; /* what it names; NULL: the last name does not exist in `dir` */
    struct tdw_inode *dir;
    struct tdw_name *name; /* the name of `inode`, NULL where it has none ("..", "/") */
    const char *text;      /* the last name, not NUL-terminated */
    uint32_t bytes;
    enum tdw_last last;
    bool slash; /* something follows the last name: slashes */
};

/* 0 (also if only the last name does not exist), or -errno; -EXDEV: a descriptor of what is on no
 * disk (a pipe), with "". */
int tdw__walk(const struct tdw_files *files, int dirfd, const char *path, uint32_t flags,
              struct tdw_walk *walk);
/* After a walk with TDW_WALK_PARENT: look the last name up. */
int tdw__walk_last(struct tdw_walk *walk);
/* As tdw__walk, but -ENOENT if it does not exist. */
int tdw__walk_existing(const struct tdw_files *files, int dirfd, const char *path, uint32_t flags,
                       struct tdw_walk *walk);
/* Give a new inode of this type and mode, less the umask, the name `path`; 0 or -errno.
 * (name_ops.c) */
int tdw__make_node(struct tdw_process *process, const char *path, uint32_t mode,
                   struct tdw_inode **inode);
/* Does `path` fail before anything is looked up: -EFAULT, -ENOENT, -ENAMETOOLONG? */
int tdw__path_check(const char *path, bool empty);

/* ── What is registered with a ring ────────────────────────────────────────────────────────── */

/* registered_files.c: the open file in a slot, or NULL. */
struct tdw_file *tdw__registered_file(const struct tdw_process *process, uint32_t index);
/* A row that makes an open file: is there room for it where sqe->file_index wants it? 0 or -errno;
 * asked before anything is changed. */
int tdw__install_check(struct tdw_process *process, const struct tdw_op *op, bool cloexec);
/* … and install it: as the lowest free descriptor, in a slot, or (IORING_FILE_INDEX_ALLOC) in a
 * free one. Takes over the caller's reference. The row's result: the descriptor, 0, or the slot;
 * -errno, and the file is closed. */
int32_t tdw__install(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                     bool cloexec);
/* Into the registered files of a process: `index` is sqe->file_index. As above. */
int32_t tdw__registered_install(struct tdw_process *process, uint32_t index, struct tdw_file *file);
/* CLOSE of the slot sqe->file_index - 1. */
int32_t tdw__registered_close(struct tdw_process *process, uint32_t index);

/* registered_buffers.c: 0 if [address, address + bytes) lies in buffer `index`, else -EFAULT. */
int tdw__registered_buffer(const struct tdw_process *process, uint32_t index, uint64_t address,
                           uint64_t bytes);

/* provided_buffers.c: buffers that the kernel picks for an op with IOSQE_BUFFER_SELECT.
 *
 * peek: the buffer that the op holds or would get now, `want` bytes of it (0: all); -ENOBUFS.
 * take: the op gets what peek showed, and `used` bytes of it are used: its completion will name it
 *       (op->flags). An op that has one already keeps it.
 * A row peeks, moves the bytes, and takes if some were moved; so an op that waits, or ends without
 * data, leaves the buffer to others. */
/* May an op of this kind have its buffer picked? Others answer -EOPNOTSUPP. */
bool tdw__buffer_selects(uint8_t opcode);
int tdw__buffer_peek(const struct tdw_op *op, size_t want, struct iovec *buffer);
void tdw__buffer_take(struct tdw_op *op, size_t want, size_t used);
/* For reads: the buffer is taken at the start if it was provided singly or the file never makes
 * anybody wait. 0 or -ENOBUFS. */
int tdw__buffer_begin(struct tdw_op *op, size_t want, bool waits);

/* The process ends: all of it is forgotten, and registered files are closed. */
void tdw__registered_free(struct tdw_process *process);
void tdw__registered_buffers_free(struct tdw_process *process);
void tdw__provided_buffers_free(struct tdw_process *process);
void tdw__messages_free(struct tdw_process *process);

/* ── Rows of the table of opcodes ──────────────────────────────────────────────────────────── */

/* The row of `opcode` if it is one of the file side's, else NULL. (file_ops.c) */
const struct tdw_sim_opcode *tdw__file_opcode(uint8_t opcode);
/* Is a started op of the kind that waits for somebody (a read of a pipe, a lock), and so can be
 * cancelled; rather than work on a disk, which ends by itself? `object`: its start's. */
bool tdw__file_op_waits(uint8_t opcode, const void *object);
/* The open file that a started op of the kind that may wait is on; NULL: none. */
struct tdw_file *tdw__op_started_on(const struct tdw_op *op, void *object);
struct tdw_file *tdw__connect_file(const void *object); /* of a CONNECT (net/socket.c) */
struct tdw_file *tdw__epoll_wait_file(const void *object);
bool tdw__open_waits(const void *object); /* open_ops.c: the same, of an open */

/* io.c: READ WRITE READV WRITEV READ_FIXED WRITE_FIXED; fsync.c: FSYNC; io.c: FALLOCATE FTRUNCATE;
 * getdents.c */
extern const struct tdw_sim_opcode tdw__row_read, tdw__row_write, tdw__row_readv, tdw__row_writev,
    tdw__row_fsync, tdw__row_fallocate, tdw__row_ftruncate, tdw__row_getdents;
/* open_ops.c: OPENAT OPENAT2 CLOSE; name_ops.c: STATX UNLINKAT RENAMEAT MKDIRAT LINKAT SYMLINKAT */
extern const struct tdw_sim_opcode tdw__row_openat, tdw__row_openat2, tdw__row_close,
    tdw__row_statx, tdw__row_unlinkat, tdw__row_renameat, tdw__row_mkdirat, tdw__row_linkat,
    tdw__row_symlinkat;
/* io.c, registered_files.c, provided_buffers.c */
extern const struct tdw_sim_opcode tdw__row_read_fixed, tdw__row_write_fixed, tdw__row_files_update,
    tdw__row_provide_buffers, tdw__row_remove_buffers;
/* poll.c, epoll.c, lock.c, flock.c */
extern const struct tdw_sim_opcode tdw__row_poll_add, tdw__row_poll_remove, tdw__row_ppoll,
    tdw__row_epoll_ctl, tdw__row_epoll_wait, tdw__row_setlkw, tdw__row_flock;
/* xattr.c, advice.c, ring_file.c */
extern const struct tdw_sim_opcode tdw__row_setxattr, tdw__row_getxattr, tdw__row_sync_file_range,
    tdw__row_fadvise, tdw__row_madvise, tdw__row_msg_ring, tdw__row_ring_message;
/* splice.c, copy.c */
extern const struct tdw_sim_opcode tdw__row_splice, tdw__row_tee, tdw__row_sendfile,
    tdw__row_copy_file_range;
/* process.c */
extern const struct tdw_sim_opcode tdw__row_waitpid;
/* sim/kernel/net/: socket.c, transfer.c, link.c */
extern const struct tdw_sim_opcode tdw__row_socket, tdw__row_bind, tdw__row_listen, tdw__row_accept,
    tdw__row_connect, tdw__row_shutdown, tdw__row_send, tdw__row_send_zc, tdw__row_receive,
    tdw__row_resolve;

/* An address in an entry. */
static inline void *tdw__pointer(uint64_t word)
{
    return (void *)(uintptr_t)word;
}

/* The open file that an entry's `fd` names, as a descriptor or as a registered file; or NULL. */
static inline struct tdw_file *tdw__op_file(const struct tdw_process *process,
                                            const struct tdw_op *op)
{
    return TDW_UNLIKELY(op->sqe.flags & IOSQE_FIXED_FILE)
               ? tdw__registered_file(process, (uint32_t)op->sqe.fd)
               : tdw__fd(process->files, op->sqe.fd);
}

/* A row's start that takes the open file of sqe->fd into *object; its release. (io.c) */
int tdw__start_fd(struct tdw_process *process, struct tdw_op *op, void **object);
void tdw__release_fd(struct tdw_process *process, void *object);

/* ── Pipes, events, sockets ────────────────────────────────────────────────────────────────── */

/* What an open file is ready for now: POLLIN, … (poll.c) */
uint32_t tdw__ready(const struct tdw_file *file);
/* A wake is about `events`: does it wake the POLL_ADD that waits for the file? It is noted. */
bool tdw__poll_woken(struct tdw_op *op, const struct tdw_file *file, uint32_t events);
/* An open file ends: no epoll has it any more. (epoll.c) */
void tdw__epoll_forget(struct tdw_file *file);
int tdw__pipe_open(struct tdw_files *files, int fds[2], int flags);
int tdw__eventfd_open(struct tdw_files *files, uint32_t value, int flags);
bool tdw__is_eventfd(const struct tdw_file *file);
/* Add 1, as the kernel does for a completion; a full one stays full. */
void tdw__eventfd_signal(struct tdw_file *file);
bool tdw__is_pipe(const struct tdw_file *file);
/* Descriptors 0, 1 and 2 become the console; 0, -ENFILE. (console.c) */
int tdw__console_open(struct tdw_files *files);
int tdw__pipe_size(const struct tdw_file *file);
int tdw__pipe_resize(struct tdw_file *file, uint32_t bytes);

/* ── Locks (lock.c, flock.c)
 * ──────────────────────────────────────────────────────────────────────── */

/* A lock that is held: a range of a file by a process (owner: its descriptor table) or by an open
 * file (OFD); or, in the list `flocks`, a whole file by an open file. */
struct tdw_lock {
    struct tdw_lock *next;
    const void *owner;
    int64_t start, end; /* both inclusive */
    short type;         /* F_RDLCK, F_WRLCK */
    bool by_file;       /* OFD */
    int32_t pid;
};

/* An op that waits for a record lock. */
struct tdw_lock_wait {
    struct tdw_lock_wait *next, *prev; /* of the disk, while it waits for a process's lock */
    struct tdw_file *file;
    struct tdw_lock want;
    bool waits, deadlock;
};

/* The fcntl commands F_SETLK, F_GETLK, F_OFD_SETLK, F_OFD_GETLK. */
int tdw__lock_set(struct tdw_process *process, struct tdw_file *file, int cmd,
                  const struct flock *lock);
int tdw__lock_get(struct tdw_process *process, struct tdw_file *file, int cmd, struct flock *lock);
void tdw__lock_free(struct tdw_disk *disk, struct tdw_lock **at); /* unlink it from its list */
/* flock without waiting; `file` NULL: -EBADF, unless the operation is wrong. */
int tdw__flock(struct tdw_file *file, int operation);
/* A process closed a descriptor of `inode`: its record locks go (owner: its table). An open file
 * ended: its whole-file and OFD locks go (owner: the file). */
void tdw__locks_drop(struct tdw_inode *inode, const void *owner);

#endif
