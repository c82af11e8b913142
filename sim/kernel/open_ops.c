/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing: the rows OPENAT, OPENAT2 and CLOSE.
 *
 *     entry ─▶ how ─▶ walk ─▶ inode, found or made ─▶ open file ─▶ descriptor or slot
 *                                                        └─ a FIFO may wait here for its other end
 *
 * OPENAT ignores what it does not know in its flags; OPENAT2 refuses it, and can keep the walk
 * inside a directory or off symlinks. Everything is looked up, checked and made at the effect. Only
 * the open of a FIFO waits: by then it is an end of the FIFO already, as on Linux.
 *
 * As for all rows by name, see name_ops.c. A cancelled wait gives the open file back.
 */
#include <sim/kernel/pipe.h>
#include <linux/openat2.h>

#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define PATH_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)

enum {
    FLAGS_KNOWN = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
                  O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |
                  O_CLOEXEC | O_PATH | O_TMPFILE,
    RESOLVE_KNOWN = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                    RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED,
};

/* What an entry asks for. */
struct how {
    int flags;
    uint32_t mode;
    uint32_t walk; /* enum tdw_walk_flags */
};

/* An open under way: what the row holds. */
struct opening {
    struct tdw_file *file; /* an end of a FIFO that waits for the other */
    struct tdw_waitq *queue;
    uint32_t partners; /* that had come when it began to wait */
};

/* ── How ───────────────────────────────────────────────────────────────────────────────────── */

/* O_SYNC is two bits, of which the one by itself means both. */
static int with_dsync(int flags)
{
    return flags & (O_SYNC & ~O_DSYNC) ? flags | O_DSYNC : flags;
}

static uint32_t walk_of(int flags, uint64_t resolve)
{
    const bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);

    return (follow ? TDW_WALK_FOLLOW : 0u) | (flags & O_CREAT ? TDW_WALK_CREATE : 0u) |
           (resolve & RESOLVE_NO_SYMLINKS ? TDW_WALK_NO_SYMLINKS : 0u) |
           (resolve & RESOLVE_BENEATH ? TDW_WALK_BENEATH : 0u) |
           (resolve & RESOLVE_IN_ROOT ? TDW_WALK_IN_ROOT : 0u);
}

static struct how how_of(const struct tdw_op *op)
{
    const struct open_how *given = tdw__pointer(op->sqe.off);
    int flags;

    if (op->sqe.opcode == IORING_OP_OPENAT2) {
        flags = with_dsync((int)given->flags);
        return (struct how){flags, (uint32_t)given->mode, walk_of(flags, given->resolve)};
    }
    flags = (int)op->sqe.open_flags & FLAGS_KNOWN;
    if (flags & O_PATH)
        flags &= PATH_FLAGS;
    flags = with_dsync(flags);
    return (struct how){flags, op->sqe.len, walk_of(flags, 0)};
}

/* struct open_how as a newer or older program knows it: what is missing is too little, what is more
 * must be zero. */
static int check_size(const struct open_how *how, uint32_t bytes)
{
    if (bytes < sizeof(*how))
        return -EINVAL;
    if (!how)
        return -EFAULT;
    for (uint32_t i = sizeof(*how); i < bytes; i++)
        if (((const char *)how)[i])
            return -E2BIG;
    return 0;
}

/* What OPENAT2 refuses and OPENAT ignores. */
static int check_how(const struct open_how *how)
{
    const uint64_t known = (uint64_t)FLAGS_KNOWN | TDW_O_LARGEFILE;
    const uint64_t both = RESOLVE_BENEATH | RESOLVE_IN_ROOT;

    if (how->flags & ~known || how->resolve & ~(uint64_t)RESOLVE_KNOWN)
        return -EINVAL;
    if ((how->resolve & both) == both)
        return -EINVAL;
    if (how->mode & ~(uint64_t)07777 ||
        (how->mode && !(how->flags & (O_CREAT | (uint64_t)TMPFILE_BIT))))
        return -EINVAL;
    if (how->flags & O_PATH && how->flags & ~(uint64_t)(PATH_FLAGS | TDW_O_LARGEFILE))
        return -EINVAL;
    return 0;
}

static int check_flags(int flags)
{
    if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
        return -EINVAL;
    if (flags & TMPFILE_BIT && (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY))
        return -EINVAL;
    return 0;
}

static int start_open(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct open_how *given = tdw__pointer(op->sqe.off);
    const bool two = op->sqe.opcode == IORING_OP_OPENAT2;
    int err = two ? check_size(given, op->sqe.len) : 0;
    int flags;

    if (err)
        return err;
    if (op->sqe.buf_index)
        return -EINVAL;
    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    err = tdw__path_check(tdw__pointer(op->sqe.addr), false);
    if (err)
        return err;
    flags = how_of(op).flags;
    if (op->sqe.file_index && flags & O_CLOEXEC)
        return -EINVAL;
    err = two ? check_how(given) : 0;
    if (!err)
        err = check_flags(flags);
    /* Everything is in the cache, but what may have to be made. */
    if (!err && two && given->resolve & RESOLVE_CACHED && flags & (O_TRUNC | O_CREAT | TMPFILE_BIT))
        err = -EAGAIN;
    if (err)
        return err;
    *object = tdw__memory_get(process->ring.loop->memory, sizeof(struct opening));
    return *object ? 0 : -ENOMEM;
}

/* ── Finding or making ─────────────────────────────────────────────────────────────────────── */

/* May what exists be opened so? */
static int check_open(const struct tdw_inode *inode, int flags)
{
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return -EEXIST;
    if (flags & O_CREAT && tdw__is_dir(inode))
        return -EISDIR;
    if (flags & O_DIRECTORY && !tdw__is_dir(inode))
        return -ENOTDIR;
    if (flags & O_PATH)
        return 0;
    if (tdw__is_lnk(inode))
        return -ELOOP;
    if (tdw__is_dir(inode) && writes)
        return -EISDIR;
    if (S_ISSOCK(inode->now.mode))
        return -ENXIO;
    if (writes && tdw__is_reg(inode) && tdw__disk_writable(inode->disk))
        return -EROFS;
    return flags & O_DIRECT && !tdw__is_reg(inode) ? -EINVAL : 0;
}

static const struct tdw_file_kind *kind_of(const struct tdw_inode *inode, int flags)
{
    if (flags & O_PATH)
        return &tdw__kind_path;
    switch (inode->now.mode & S_IFMT) {
    case S_IFDIR:
        return &tdw__kind_dir;
    case S_IFREG:
        return &tdw__kind_reg;
    case S_IFIFO:
        return tdw__fifo_kind(flags);
    default:
        return &tdw__kind_device;
    }
}

/* A new regular file; named as the walk says unless it is an O_TMPFILE. Pinned. */
static int create(const struct tdw_files *files, const struct tdw_walk *walk, int flags,
                  uint32_t mode, uint64_t now_ns, struct tdw_inode **made)
{
    struct tdw_inode *inode;
    int err = tdw__disk_writable(files->disk);

    if (err)
        return err;
    inode = tdw__inode_new(files->disk, S_IFREG | (mode & 07777 & ~files->umask), now_ns);
    if (!inode)
        return -ENOMEM;
    tdw__pin(inode);
    if (flags & TMPFILE_BIT)
        inode->linkable = !(flags & O_EXCL);
    else
        err = tdw__name_put(walk->dir, walk->text, walk->bytes, inode, now_ns);
    if (err)
        tdw__unpin(inode);
    *made = inode;
    return err;
}

/* What the walk found, opened; or made. Pinned. */
static int find_or_create(struct tdw_process *process, const struct tdw_op *op,
                          const struct how *how, struct tdw_inode **found)
{
    const struct tdw_files *files = process->files;
    const int flags = how->flags;
    struct tdw_walk walk;
    int err = tdw__walk(files, op->sqe.fd, tdw__pointer(op->sqe.addr), how->walk, &walk);

    if (err)
        return err;
    if (!walk.inode && !(flags & O_CREAT))
        return -ENOENT;
    if (flags & TMPFILE_BIT && !tdw__is_dir(walk.inode))
        return -ENOTDIR;
    if (!walk.inode || flags & TMPFILE_BIT)
        return create(files, &walk, flags, how->mode, tdw__now(process), found);
    err = check_open(walk.inode, flags);
    if (err)
        return err;
    if (flags & O_TRUNC && tdw__is_reg(walk.inode)) {
        err = tdw__inode_resize(walk.inode, 0, tdw__now(process));
        if (err)
            return err;
    }
    tdw__pin(walk.inode);
    *found = walk.inode;
    return 0;
}

/* ── The open file ─────────────────────────────────────────────────────────────────────────── */

static int32_t open_inode(struct tdw_process *process, const struct tdw_op *op,
                          struct opening *opening)
{
    const struct how how = how_of(op);
    const int flags = how.flags & ~TDW_O_LARGEFILE;
    const int shown = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    struct tdw_inode *inode;
    struct tdw_file *file;
    int err = tdw__install_check(process, op, flags & O_CLOEXEC);

    if (!err)
        err = find_or_create(process, op, &how, &inode);
    if (err)
        return err;
    file = tdw__file_new(inode->disk, kind_of(inode, flags),
                         flags & O_PATH ? shown : shown | TDW_O_LARGEFILE, inode);
    if (!file) {
        tdw__unpin(inode);
        return -ENOMEM;
    }
    if (S_ISFIFO(inode->now.mode) && !(flags & O_PATH)) {
        err = tdw__fifo_open(file, &opening->partners);
        if (err) {
            tdw__file_put(file);
            return err;
        }
    }
    opening->file = file;
    return 0;
}

static struct tdw_waitq *blocked_open(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct opening *opening = object;

    (void)process;
    if (op->state == TDW_BLOCKED)
        return opening->queue;
    opening->queue = opening->file && S_ISFIFO(opening->file->kind->mode)
                         ? tdw__fifo_waits(opening->file, opening->partners)
                         : NULL;
    return opening->queue;
}

static int32_t effect_open(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct opening *opening = object;
    struct tdw_file *file;

    if (!opening->file) {
        const int32_t err = open_inode(process, op, opening);

        if (err)
            return err;
        if (blocked_open(process, op, opening))
            return TDW_AGAIN;
    }
    file = opening->file;
    opening->file = NULL;
    return tdw__install(process, op, file, how_of(op).flags & O_CLOEXEC);
}

static void release_open(struct tdw_process *process, void *object)
{
    struct opening *opening = object;

    if (opening->file)
        tdw__file_put(opening->file);
    tdw__memory_put(process->ring.loop->memory, opening, sizeof(*opening));
}

bool tdw__open_waits(const void *object)
{
    const struct opening *opening = object;

    return opening && opening->file;
}

/* ── CLOSE ─────────────────────────────────────────────────────────────────────────────────── */

static int start_close(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    (void)process, (void)object;
    if (sqe->off || sqe->addr || sqe->len || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (sqe->flags & IOSQE_FIXED_FILE)
        return -EBADF;
    return sqe->file_index && sqe->fd ? -EINVAL : 0;
}

static int32_t effect_close(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)object;
    if (op->sqe.file_index)
        return tdw__registered_close(process, op->sqe.file_index - 1);
    return tdw__fd_close(process->files, op->sqe.fd);
}

const struct tdw_sim_opcode tdw__row_openat = {start_open, blocked_open, effect_open, release_open,
                                               TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_openat2 = {start_open, blocked_open, effect_open, release_open,
                                                TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_close = {start_close, NULL, effect_close, NULL, TDW_WHOLE};
